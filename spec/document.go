package spec

// Given says that the spec has the document at all, be it empty.
func (d Document) Given() bool { return d != nil }

// Empty says that the spec asks for no document to be there.
func (d Document) Empty() bool { return string(d) == "{}" }
