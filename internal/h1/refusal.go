package h1

// A Refusal is why a message is not accepted: what a client is answered, or what is said
// of a backend.
type Refusal struct {
	Status int    // for a client
	Reason string // one sentence, without anything of the message
}

func (r *Refusal) Error() string { return r.Reason }

func bad(reason string) *Refusal { return &Refusal{400, reason} }

// The refusals are values: to refuse costs nothing.
var (
	errStartLine   = bad("The first line of the request is malformed.")
	errMethod      = bad("The method is malformed.")
	errTarget      = bad("The request target is malformed.")
	errVersion     = &Refusal{505, "Only HTTP/1.1 and HTTP/1.0 are spoken on this connection."}
	errPreface     = bad("HTTP/2 is not spoken on this connection.")
	errLineEnd     = bad("A line of the head does not end with CRLF.")
	errFold        = bad("A line of the head begins with white space.")
	errName        = bad("The name of a header field is malformed.")
	errValue       = bad("The value of a header field has a control character.")
	errHostMissing = bad("The Host header is missing.")
	errHostSeveral = bad("There is more than one Host header.")
	errHost        = bad("The Host header is not a host.")
	errLength      = bad("The Content-Length header is not one number.")
	errLengthTE    = bad("The request has both a Content-Length and a Transfer-Encoding.")
	errTE          = &Refusal{501, "The only transfer coding here is chunked."}
	errTEOld       = bad("HTTP/1.0 has no Transfer-Encoding.")
	errExpect      = &Refusal{417, "The only expectation here is 100-continue."}
	errFields      = &Refusal{431, "The request has too many header fields."}
	errHeadSize    = &Refusal{431, "The request's head is too large."}
	errTargetSize  = &Refusal{414, "The request target is too long."}

	errStatusLine    = &Refusal{502, "The first line of the answer is malformed."}
	errAnswerLength  = &Refusal{502, "The answer's Content-Length is not one number."}
	errAnswerTE      = &Refusal{502, "The answer has a transfer coding that is not chunked."}
	errAnswerFraming = &Refusal{502, "The answer has both a Content-Length and a Transfer-Encoding."}
	errAnswerHead    = &Refusal{502, "The answer's head is malformed."}
	errAnswerSize    = &Refusal{502, "The answer's head is too large."}

	errChunk     = bad("A chunk of the body is malformed.")
	errChunkLine = bad("The size line of a chunk is too long.")
	errTrailer   = bad("The trailer section is malformed or too large.")
)
