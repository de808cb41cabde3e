-- For wrk: every request is a POST with a body.
wrk.method = "POST"
wrk.body = string.rep("x", 20000)
