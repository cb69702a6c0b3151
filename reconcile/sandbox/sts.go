package sandbox

func stsHandlers() map[string]handler {
	return map[string]handler{"GetCallerIdentity": getCallerIdentity}
}

func getCallerIdentity(_ *state, r *request) (any, error) {
	return struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{r.caller.ARN, r.caller.ID, r.account}, nil
}
