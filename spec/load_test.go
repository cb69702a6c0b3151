package spec

import (
	"encoding/json"
	"testing"
)

func TestSmoke(t *testing.T) {
	f, err := Load("../examples/prod.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := f.Bind(Identity{Account: "123456789012", Partition: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	j, _ := json.MarshalIndent(s, "", " ")
	t.Log(string(j))
	t.Log(string(s.IAM.Roles[0].AssumeRolePolicy))
}
