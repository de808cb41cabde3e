// Package admin is the interface of operators: resources and changes over HTTP, on a Unix socket
// and on TCP, and the client that commands use. It knows HTTP and who may do what. What runs it
// learns from a [Gateway].
package admin

import (
	"errors"
	"net/http"
	"time"

	"sluice/internal/outline"
)

// A Gateway is what the interface shows and steers. Its methods may be called at the same time.
type Gateway interface {
	Status() Status
	Config() map[string]any // without secrets
	Ready() Ready
	Routes() []Route
	Backends() []Backend
	Certificates() []Certificate
	History() History
	Ends() []End // of the last sessions, the newest first

	// EachSession calls yield with the open sessions that match, until it returns false. What
	// match and yield get is valid until they return. Match must not block.
	EachSession(match func(*Session) bool, yield func(*Session) bool)

	// EndSessions ends the sessions that match, evenly over spread, and
	// returns their number.
	EndSessions(match func(*Session) bool, e Ending, spread time.Duration) int

	// Drain drains an endpoint or, with on false, gives it work again. The error is [ErrUnknown]
	// if there is none of that name, and says else why it cannot be done.
	Drain(backend, endpoint string, on bool) error

	// Reload reads the configuration again. The error says every mistake with its line.
	Reload() (Reload, error)

	// Change is called before every other change of these but Restart, and done after it. The error says why nothing may be
	// changed now.
	Change() (done func(), err error)

	// Restart makes a new process of the program that is installed take over, and returns when it has. If it
	// fails, this one goes on.
	Restart() (Restart, error)

	// Outlook counts what a configuration would do to the sessions that are open now.
	Outlook(*outline.Outline) outline.Report

	// SetLogLevel changes what is logged until the next reload. The error is that there is no
	// such level.
	SetLogLevel(level string) error

	// Tap returns what shows the frames of a session. The error is [ErrUnknown] if there is none of
	// that name, [ErrBusy] if somebody else taps it, [ErrForbidden] if its route shows no payloads,
	// and says else why it cannot be tapped.
	Tap(session string, o TapOptions) (Tap, error)

	// Watch returns what gets the records of the log while they are written, or nil if there are
	// too many such. Stop ends it.
	Watch() (w Watcher, stop func())

	// Metrics serves the metrics.
	Metrics() http.Handler

	// Audit logs what an operator has done.
	Audit(Action)

	// Refused is told of requests that are refused for want of permission. Why is one of few
	// sentences.
	Refused(who Who, why string)
}

// A Watcher gets the records of the log while they are written.
type Watcher interface {
	Records() <-chan []byte // lines of JSON
	Lost() uint64           // how many records it was too slow for since the last call
}

// ErrUnknown is returned for what does not exist. What wraps it says what that is.
var ErrUnknown = errors.New("there is none")

// Status is what the gateway is and how much of its limits it uses.
type Status struct {
	Version       string     `json:"version" doc:"Version of the program."`
	PID           int        `json:"pid" doc:"Number of the process."`
	Started       time.Time  `json:"started" doc:"When the process began."`
	UptimeSeconds float64    `json:"uptime_seconds" doc:"How long it runs."`
	Config        ConfigFile `json:"config" doc:"The configuration in force."`
	LastReload    *Reload    `json:"last_reload,omitempty" doc:"The last reload; absent if there was none."`
	State         string     `json:"state" doc:"running or draining."`
	LogLevel      string     `json:"log_level" doc:"Least severe level that is logged."`
	ReadOnly      bool       `json:"read_only" doc:"Whether this interface refuses every change."`
	Listeners     []Listener `json:"listeners" doc:"Open listeners."`
	Sessions      Usage      `json:"sessions" doc:"WebSocket sessions; the limit is max_sessions."`
	Requests      int64      `json:"requests" doc:"HTTP requests in work, handshakes among them."`
	Answered      uint64     `json:"requests_answered" doc:"HTTP requests that were answered since the start, handshakes not among them."`
	Descriptors   Usage      `json:"descriptors" doc:"File descriptors of the process."`
	Memory        Usage      `json:"memory" doc:"Bytes of memory that the process has from the system; the limit is GOMEMLIMIT."`
	Loops         []Loop     `json:"loops" doc:"Event loops."`
}

// ConfigFile is the configuration in force.
type ConfigFile struct {
	File   string    `json:"file" doc:"Its file."`
	SHA256 string    `json:"sha256" doc:"Hash of the file as it was read, in hexadecimal."`
	Loaded time.Time `json:"loaded" doc:"When it came into force."`
}

// Usage is how much of a limit is in use.
type Usage struct {
	Used  int64 `json:"used" doc:"In use now."`
	Limit int64 `json:"limit" doc:"The limit; 0 means that there is none."`
}

// Listener is an open listener.
type Listener struct {
	Name        string `json:"name" doc:"Its address as it is configured."`
	Address     string `json:"address" doc:"Its address in fact."`
	TLS         bool   `json:"tls" doc:"Whether it terminates TLS."`
	Connections Usage  `json:"connections" doc:"Its connections; the limit is max_connections."`
}

// Loop is an event loop.
type Loop struct {
	Number        int     `json:"number" doc:"Its number."`
	Connections   int64   `json:"connections" doc:"Connections that it has; a session is one."`
	Turns         uint64  `json:"turns" doc:"How often it had something to do."`
	BusySeconds   float64 `json:"busy_seconds" doc:"How long it worked in all."`
	P99Millis     float64 `json:"turn_p99_ms" doc:"99 of 100 turns were shorter, in milliseconds."`
	P999Millis    float64 `json:"turn_p99_9_ms" doc:"999 of 1,000 turns were shorter, in milliseconds."`
	LongestMillis float64 `json:"turn_longest_ms" doc:"The longest turn, in milliseconds."`
}

// Ready says whether the gateway is ready for clients.
type Ready struct {
	Ready   bool     `json:"ready" doc:"Whether clients may be sent here."`
	Reasons []string `json:"reasons" doc:"Why not."`
	Notes   []string `json:"notes" doc:"What is wrong without making the gateway unready, such as a certificate that could not be ordered."`
}

// Traffic is what one side of sessions has sent.
type Traffic struct {
	Messages uint64 `json:"messages" doc:"Complete data messages."`
	Frames   uint64 `json:"frames" doc:"Complete data frames."`
	Controls uint64 `json:"controls" doc:"Ping, pong and Close frames."`
	Bytes    uint64 `json:"bytes" doc:"Payload of data frames, as it is on the wire."`
}

// Route is a route with a backend, and what its sessions have done.
type Route struct {
	Route       string   `json:"route" doc:"Its name, or its matchers."`
	Backends    []string `json:"backends" doc:"Where it leads."`
	Open        int64    `json:"open" doc:"Sessions that are open."`
	Limit       int64    `json:"limit" doc:"Most sessions open at once; 0 means any number."`
	Tap         string   `json:"tap" doc:"What a tap of its sessions may show: headers or payload."`
	Sessions    uint64   `json:"sessions" doc:"Sessions that have begun."`
	FromClient  Traffic  `json:"from_client" doc:"What clients have sent in sessions."`
	FromBackend Traffic  `json:"from_backend" doc:"What backends have sent in sessions."`
}

// Backend is a backend with its endpoints.
type Backend struct {
	Backend   string     `json:"backend" doc:"Its name."`
	Queued    int        `json:"queued" doc:"Requests and sessions that wait for an endpoint."`
	Endpoints []Endpoint `json:"endpoints" doc:"Its endpoints, in the order in which they are used."`
}

// Endpoint is an endpoint of a backend.
type Endpoint struct {
	Endpoint  string     `json:"endpoint" doc:"Its address; for an address of a name also the name."`
	State     string     `json:"state" doc:"up, down, ejected or draining."`
	Since     *time.Time `json:"since,omitempty" doc:"Since when it is in that state; absent while that is since the start."`
	Standby   bool       `json:"standby" doc:"It is up, but other endpoints get the work."`
	Sessions  int        `json:"sessions" doc:"Sessions that it has."`
	Requests  int        `json:"requests" doc:"Requests that it works on."`
	Weight    float64    `json:"weight" doc:"Its share of the work, relative to the others."`
	Served    uint64     `json:"served" doc:"Requests and handshakes that it has answered well."`
	Failed    uint64     `json:"failed" doc:"Those that it has failed."`
	Ejections uint64     `json:"ejections" doc:"How often it was ejected."`
	Error     string     `json:"error,omitempty" doc:"Error of the last probe; absent if there is none."`
	Insecure  bool       `json:"insecure" doc:"Its certificate is not verified."`
}

// Certificate is a certificate that listeners use, or that is ordered for them.
type Certificate struct {
	Names  []string   `json:"names" doc:"What it is for."`
	From   string     `json:"from" doc:"Its file, acme, or local CA."`
	Expiry *time.Time `json:"expiry,omitempty" doc:"When it ends; absent while there is none yet, and where the local CA renews it."`
	Error  string     `json:"error,omitempty" doc:"Why the last order failed."`
	Next   *time.Time `json:"next,omitempty" doc:"When the next order is made after an error."`
}

// History is what the gateway did in the last 15 minutes, at equal steps.
type History struct {
	IntervalSeconds float64        `json:"interval_seconds" doc:"Seconds between two points."`
	Points          []HistoryPoint `json:"points" doc:"The oldest first. There are fewer in the first minutes of the process."`
}

// HistoryPoint is what the gateway did in the time up to a moment. Counts are of that time, not of
// all time.
type HistoryPoint struct {
	Time                time.Time `json:"time" doc:"The end of its time, which began at the point before."`
	Sessions            int64     `json:"sessions" doc:"Sessions that were open at that moment."`
	Opened              uint64    `json:"opened" doc:"Sessions that began."`
	HandshakesFailed    uint64    `json:"handshakes_failed" doc:"WebSocket handshakes that failed."`
	MessagesFromClient  uint64    `json:"messages_from_client" doc:"Messages that clients sent."`
	MessagesFromBackend uint64    `json:"messages_from_backend" doc:"Messages that backends sent."`
	BytesFromClient     uint64    `json:"bytes_from_client" doc:"Bytes of payload that clients sent."`
	BytesFromBackend    uint64    `json:"bytes_from_backend" doc:"Bytes of payload that backends sent."`
	Requests            uint64    `json:"requests" doc:"HTTP requests that were answered, handshakes not among them."`
	RequestErrors       uint64    `json:"request_errors" doc:"Those that were answered with a status of 500 and above."`
}

// Session is an open session.
type Session struct {
	Session     string    `json:"session" doc:"The gateway's own name for it, 16 hexadecimal digits: the field session of log records."`
	RequestID   string    `json:"request_id" doc:"X-Request-Id of its handshake: the field id of log records."`
	Route       string    `json:"route" doc:"Route."`
	Backend     string    `json:"backend" doc:"Backend."`
	Endpoint    string    `json:"endpoint" doc:"Endpoint."`
	Client      string    `json:"client" doc:"Address of the client; empty if it came over a Unix socket."`
	Host        string    `json:"host" doc:"Host that the client asked for."`
	URI         string    `json:"uri" doc:"Path and query of its handshake, without the values that log.redact names."`
	Subprotocol string    `json:"subprotocol,omitempty" doc:"Subprotocol that was agreed on."`
	Compression bool      `json:"compression" doc:"Whether permessage-deflate is in use."`
	Tap         string    `json:"tap" doc:"What a tap of it may show: headers or payload."`
	Opened      time.Time `json:"opened" doc:"When it began."`
	Last        time.Time `json:"last" doc:"When the last data frame came, or the session began."`
	FromClient  Traffic   `json:"from_client" doc:"What the client has sent."`
	FromBackend Traffic   `json:"from_backend" doc:"What the backend has sent."`
	Ending      string    `json:"ending,omitempty" doc:"Why it is ending; absent while it is open."`
}

// Messages returns how many messages have gone through the session.
func (s *Session) Messages() uint64 { return s.FromClient.Messages + s.FromBackend.Messages }

// Bytes returns how many bytes of payload have gone through the session.
func (s *Session) Bytes() uint64 { return s.FromClient.Bytes + s.FromBackend.Bytes }

// Rate returns the messages a second over the life of the session so far.
func (s *Session) Rate(now time.Time) float64 {
	return float64(s.Messages()) / max(now.Sub(s.Opened).Seconds(), 1)
}

// End is how a session has ended. Its fields have the names that they have in the log.
type End struct {
	Time            time.Time `json:"time" doc:"When it ended."`
	Session         string    `json:"session" doc:"The gateway's own name for it."`
	RequestID       string    `json:"id" doc:"X-Request-Id of its handshake."`
	Route           string    `json:"route" doc:"Route."`
	Backend         string    `json:"backend" doc:"Backend."`
	Endpoint        string    `json:"endpoint" doc:"Endpoint."`
	Client          string    `json:"client,omitempty" doc:"Address of the client; absent if it came over a Unix socket."`
	Host            string    `json:"host" doc:"Host that the client asked for."`
	URI             string    `json:"uri" doc:"Path and query of its handshake, without the values that log.redact names."`
	Millis          float64   `json:"duration_ms" doc:"How long it lasted, in milliseconds."`
	ClientMessages  uint64    `json:"client_messages" doc:"Messages of the client."`
	ClientBytes     uint64    `json:"client_bytes" doc:"Bytes of payload of the client."`
	BackendMessages uint64    `json:"backend_messages" doc:"Messages of the backend."`
	BackendBytes    uint64    `json:"backend_bytes" doc:"Bytes of payload of the backend."`
	Code            int       `json:"close_code" doc:"Code of the Close frame that tells the cause; 1005 where that has none."`
	Reason          string    `json:"close_reason,omitempty" doc:"Reason of that frame."`
	EndedBy         string    `json:"ended_by" doc:"The side that the cause is about: client, backend or gateway."`
	Cause           string    `json:"cause" doc:"Why it ended, as in the log."`
	Detail          string    `json:"detail,omitempty" doc:"More about it."`
}

// Ending is how an operator ends sessions.
type Ending struct {
	Code   int    // of the Close frame to the client; 0 means 1008
	Reason string // of that frame; "" means "ended by operator"
}

// Ended is the answer to the end of sessions.
type Ended struct {
	Sessions int  `json:"sessions" doc:"Sessions that matched."`
	DryRun   bool `json:"dry_run" doc:"They were only counted."`
}

// Reload is what a reload of the configuration did.
type Reload struct {
	Time     time.Time `json:"time" doc:"When it was done."`
	Millis   float64   `json:"duration_ms" doc:"How long it took, in milliseconds."`
	OK       bool      `json:"ok" doc:"Whether the configuration is in force now."`
	Mistakes []string  `json:"mistakes,omitempty" doc:"Why it is not in force."`
	outline.Report
}

// Restart is what a restart did.
type Restart struct {
	PID         int     `json:"pid" doc:"The process that has taken over."`
	Millis      float64 `json:"duration_ms" doc:"How long it took, in milliseconds."`
	Sessions    int     `json:"sessions" doc:"Sessions that went over."`
	Connections int     `json:"connections" doc:"Idle HTTP/1.1 connections that went over."`
	Stayed      int     `json:"sessions_ending" doc:"Sessions that could not, and end here with 1012: those over HTTP/2, and those whose TLS records are with crypto/tls."`
	Foreign     bool    `json:"other_version" doc:"The new process speaks another version of the take-over: no session could go over."`
	PauseP50    float64 `json:"pause_p50_ms" doc:"How long half of the sessions stood still at most, in milliseconds."`
	PauseP99    float64 `json:"pause_p99_ms" doc:"The same of 99 of 100."`
	PauseMax    float64 `json:"pause_max_ms" doc:"The same of all."`
}

// Who is who has sent a request.
type Who struct {
	Address string // of a client over TCP; "" on the Unix socket
	Token   string // name of the token that it has shown
	UID     int    // of the process on the Unix socket; -1 if the system does not tell
	PID     int
}

// Action is something that an operator has done.
type Action struct {
	Who    Who
	What   string // such as "end sessions"
	Target string // such as a filter or an endpoint; may be empty
	Count  int    // of sessions; -1 where nothing is counted
	Err    error  // why it failed
}
