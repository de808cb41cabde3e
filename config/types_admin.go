package config

import "sluice/config/units"

// Admin is the interface of operators.
type Admin struct {
	Pos Pos  `yaml:"-"`
	Off bool `yaml:"-"` // filled in

	Address   string         `yaml:"address" short:"" doc:"Address of TCP, 'host:port', besides the socket; 'off': there is no admin interface. Other addresses than loopback need 'tls' or 'insecure'."`
	Token     string         `yaml:"token" needs:"address" not:"token_file|address=off" secret:"" doc:"What requests over TCP show as 'Authorization: Bearer'; at least 16 characters, better as '${NAME}' than in the file."` // filled in from TokenFile
	TokenFile string         `yaml:"token_file" needs:"address" not:"address=off" doc:"File that holds the token in place of 'token'. It is read at the start and with each reload."`
	TLS       *AdminTLS      `yaml:"tls" needs:"address" not:"address=off" doc:"TLS of 'address' (below)."`
	Insecure  bool           `yaml:"insecure" needs:"address" not:"address=off" doc:"Serves 'address' without TLS although others than this machine reach it: the token goes over the network in the clear."`
	Health    string         `yaml:"health" not:"address=off" doc:"Another address, which serves only '/healthz' and '/readyz', to everybody and without a token: for balancers and kubelets."`
	Metrics   string         `yaml:"metrics" not:"address=off" doc:"Another address, which serves only '/metrics', to everybody and without a token: for Prometheus."`
	Mode      units.FileMode `yaml:"mode" not:"address=off" doc:"Permissions of the socket, in octal and in quotes; to connect takes the right to write."` // 0 when absent
	Group     string         `yaml:"group" not:"address=off" doc:"Group that the socket belongs to, by name or number."`
	Ready     AdminReady     `yaml:"ready" not:"address=off" doc:"What '/readyz' asks for besides open listeners (below)."`
	Pprof     bool           `yaml:"pprof" not:"address=off" doc:"Lets operators take profiles of the process ('/debug/pprof'), which show what is in its memory."`
	ReadOnly  bool           `yaml:"read_only" not:"address=off" doc:"Refuses every change: the interface shows, and steers nothing."`
}

// AdminReady is what a gateway that is ready has.
type AdminReady struct {
	Certificates bool `yaml:"certificates" doc:"'/readyz' is red until there is a certificate for every name that 'tls.acme' orders for. Leave it off behind a balancer that asks '/readyz': the CA's check would never arrive."`
}

// AdminTLS is the TLS of the interface of operators.
type AdminTLS struct {
	Cert     string `yaml:"cert" required:"true" doc:"PEM file of the certificate chain; read at the start and with each reload."`
	Key      string `yaml:"key" required:"true" doc:"PEM file of its key; may be the same file."`
	ClientCA string `yaml:"client_ca" doc:"PEM file of authorities: clients with a certificate from them need no token."`
}
