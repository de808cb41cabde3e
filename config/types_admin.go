package config

import "sluice/config/units"

// Admin is the interface of operators.
type Admin struct {
	Pos Pos  `yaml:"-"`
	Off bool `yaml:"-"` // filled in

	Address   string         `yaml:"address" short:"" doc:"Address of TCP, 'host:port', besides the Unix socket in the runtime directory. Requests over TCP need a token or a client certificate. off: there is no admin interface at all."`
	Token     string         `yaml:"token" secret:"" doc:"Token that requests over TCP show as 'Authorization: Bearer'; at least 16 characters, better as \\${NAME} than in the file. Default: one that is made at the start and written beside the Unix socket, readable by its owner alone."` // filled in from TokenFile
	TokenFile string         `yaml:"token_file" doc:"File that holds the token in place of 'token'."`
	TLS       *AdminTLS      `yaml:"tls" doc:"TLS of 'address'."`
	Insecure  bool           `yaml:"insecure" doc:"Serve 'address' without TLS although it is not a loopback address: the token goes over the network in the clear."`
	Health    string         `yaml:"health" doc:"Another address that serves only /healthz and /readyz, to everybody without a token: for balancers and kubelets."`
	Metrics   string         `yaml:"metrics" doc:"Another address that serves only /metrics, to everybody without a token: for Prometheus, which then needs no token that may do everything."`
	Mode      units.FileMode `yaml:"mode" doc:"Permissions of the Unix socket, in octal and in quotes, as in '0660'; to connect takes the right to write, and who connects may do everything. Absent: '0600'."` // 0 when absent
	Group     string         `yaml:"group" doc:"Group that the Unix socket belongs to, by name or number; sets 'mode' to '0660' unless that is given."`
	Ready     AdminReady     `yaml:"ready" doc:"What /readyz asks for besides listeners that are open."`
	Pprof     bool           `yaml:"pprof" doc:"Let operators take profiles of the process, which show what is in its memory."`
	ReadOnly  bool           `yaml:"read_only" doc:"Refuse every change: the interface shows, and steers nothing."`
}

// AdminReady is what a gateway that is ready has.
type AdminReady struct {
	Certificates bool `yaml:"certificates" doc:"A certificate for every name that 'tls.acme' orders for. Leave it off behind a balancer that asks /readyz: the CA's check would never arrive."`
}

// AdminTLS is the TLS of the interface of operators.
type AdminTLS struct {
	Cert     string `yaml:"cert" required:"true" doc:"PEM file of the certificate chain."`
	Key      string `yaml:"key" required:"true" doc:"PEM file of its key; may be the same file."`
	ClientCA string `yaml:"client_ca" doc:"PEM file of authorities: clients with a certificate from them need no token."`
}
