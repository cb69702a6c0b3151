package spec
import ("testing";"os";"fmt")
func TestZZ(t *testing.T){
 f,err:=Load(os.Getenv("ZZ"),Options{Vars: map[string]string{"bukcet":"x"}})
 if err!=nil{fmt.Println(err);return}
 fmt.Println(f.Check())
}
