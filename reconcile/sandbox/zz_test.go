package sandbox
import ("testing";"fmt";"time";"github.com/aws/aws-sdk-go-v2/aws";"github.com/aws/aws-sdk-go-v2/service/iam")
func TestZZ(t *testing.T){
 c:=iamCalls{serve(t,Options{}).iam()}
 b:=time.Now()
 for i:=range 1000 { n:=fmt.Sprint("n",i); c.createRole(t.Context(),n,trustECS); c.createPolicy(t.Context(),n,allowAll); c.attachRole(t.Context(),n,ownPrefix+"policy/"+n)}
 fmt.Println(time.Since(b)); b=time.Now()
 var m *string
 for k:=0;;k++ { out,err:=c.GetAccountAuthorizationDetails(t.Context(),&iam.GetAccountAuthorizationDetailsInput{MaxItems:aws.Int32(1000),Marker:m}); if err!=nil{t.Fatal(err)}; fmt.Println(len(out.RoleDetailList),len(out.Policies),time.Since(b)); if !out.IsTruncated {break}; m=out.Marker}
}
