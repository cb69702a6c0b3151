// Package shape says how Go types look in a spec: which fields a struct has
// there, what they are called, and which values an enum allows. The loader and
// the generator of the JSON Schema both ask it, so that the two cannot differ.
package shape

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A Field is a field of a struct as a spec has it.
type Field struct {
	Name     string // as a spec spells it
	Type     reflect.Type
	Index    []int    // for reflect.Value.FieldByIndex
	Required bool     // by the tag required:"true", of AWS's shapes by AWS
	Enum     []string // by the tag enum:"A B"; nil: the type decides
	Struct   reflect.Type
	GoName   string
}

// Fields lists what a spec may say of a struct, in the struct's order. A field
// of our own structs is named by its yaml tag; "-" leaves it out and ",inline"
// lifts the fields of an embedded struct. A field without a tag is one of
// AWS's own shapes and is named by Name.
func Fields(t reflect.Type) []Field {
	var fields []Field
	demanded := required(t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("yaml")
		switch {
		case !f.IsExported(), tag == "-":
			continue
		case tag == ",inline":
			for _, in := range Fields(f.Type) {
				in.Index = append([]int{i}, in.Index...)
				fields = append(fields, in)
			}
			continue
		case f.Type.Kind() == reflect.Interface:
			// The SDK's only union within reach is the GPU sharing strategy
			// of a container, which has no use on Fargate.
			continue
		}
		name := tag
		if !tagged {
			name = Name(f.Name)
		}
		fields = append(fields, Field{
			Name:     name,
			Type:     f.Type,
			Index:    []int{i},
			Required: f.Tag.Get("required") == "true" || slices.Contains(demanded, f.Name),
			Enum:     strings.Fields(f.Tag.Get("enum")),
			Struct:   t,
			GoName:   f.Name,
		})
	}
	return fields
}

// Name is a Go field's name in AWS's lowerCamelCase: ID is id, KmsKeyId is
// kmsKeyId, KMSMasterKeyID is kmsMasterKeyID.
func Name(goName string) string {
	runes := []rune(goName)
	for i, r := range runes {
		if !unicode.IsUpper(r) {
			break
		}
		// The last capital of a run starts the next word, unless it is the first.
		if i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
			break
		}
		runes[i] = unicode.ToLower(r)
	}
	return string(runes)
}

// required lists the fields of one of AWS's shapes that AWS demands: those that
// the SDK documents so, and after them what only the services' own answers say.
func required(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[s3types.AbortIncompleteMultipartUpload]():
		return []string{"DaysAfterInitiation"}
	case reflect.TypeFor[s3types.LifecycleRule]():
		return []string{"Status"}
	case reflect.TypeFor[s3types.NoncurrentVersionExpiration]():
		return []string{"NoncurrentDays"}
	case reflect.TypeFor[s3types.NoncurrentVersionTransition]():
		return []string{"NoncurrentDays", "StorageClass"}
	case reflect.TypeFor[s3types.Tag]():
		return []string{"Key", "Value"}
	case reflect.TypeFor[s3types.Transition]():
		return []string{"StorageClass"}
	case reflect.TypeFor[ecrtypes.ImageTagMutabilityExclusionFilter]():
		return []string{"Filter", "FilterType"}
	case reflect.TypeFor[ecstypes.CapacityProviderStrategyItem]():
		return []string{"CapacityProvider"}
	case reflect.TypeFor[ecstypes.ClusterSetting]():
		return []string{"Name", "Value"}
	case reflect.TypeFor[ecstypes.ContainerDefinition]():
		return []string{"Name", "Image"}
	case reflect.TypeFor[ecstypes.ContainerDependency]():
		return []string{"ContainerName", "Condition"}
	case reflect.TypeFor[ecstypes.ContainerRestartPolicy]():
		return []string{"Enabled"}
	case reflect.TypeFor[ecstypes.Device]():
		return []string{"HostPath"}
	case reflect.TypeFor[ecstypes.EFSVolumeConfiguration]():
		return []string{"FileSystemId"}
	case reflect.TypeFor[ecstypes.EnvironmentFile]():
		return []string{"Type", "Value"}
	case reflect.TypeFor[ecstypes.EphemeralStorage]():
		return []string{"SizeInGiB"}
	case reflect.TypeFor[ecstypes.FSxWindowsFileServerAuthorizationConfig]():
		return []string{"CredentialsParameter", "Domain"}
	case reflect.TypeFor[ecstypes.FSxWindowsFileServerVolumeConfiguration]():
		return []string{"AuthorizationConfig", "FileSystemId", "RootDirectory"}
	case reflect.TypeFor[ecstypes.FirelensConfiguration]():
		return []string{"Type"}
	case reflect.TypeFor[ecstypes.HealthCheck]():
		return []string{"Command"}
	case reflect.TypeFor[ecstypes.HostEntry]():
		return []string{"Hostname", "IpAddress"}
	case reflect.TypeFor[ecstypes.KeyValuePair]():
		return []string{"Name"}
	case reflect.TypeFor[ecstypes.LogConfiguration]():
		return []string{"LogDriver"}
	case reflect.TypeFor[ecstypes.ProxyConfiguration]():
		return []string{"ContainerName"}
	case reflect.TypeFor[ecstypes.RepositoryCredentials]():
		return []string{"CredentialsParameter"}
	case reflect.TypeFor[ecstypes.ResourceRequirement]():
		return []string{"Type"}
	case reflect.TypeFor[ecstypes.S3FilesVolumeConfiguration]():
		return []string{"FileSystemArn"}
	case reflect.TypeFor[ecstypes.Secret]():
		return []string{"Name", "ValueFrom"}
	case reflect.TypeFor[ecstypes.Tmpfs]():
		return []string{"ContainerPath", "Size"}
	case reflect.TypeFor[ecstypes.Ulimit]():
		return []string{"Name", "SoftLimit", "HardLimit"}
	case reflect.TypeFor[ecstypes.Volume]():
		return []string{"Name"}
	}
	return nil
}

// Enum lists the values that AWS allows for one of its enum types, nil where
// the type is none of them.
func Enum(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[s3types.ExpirationStatus]():
		return texts(s3types.ExpirationStatus("").Values())
	case reflect.TypeFor[s3types.TransitionStorageClass]():
		return texts(s3types.TransitionStorageClass("").Values())
	case reflect.TypeFor[ecrtypes.ImageTagMutabilityExclusionFilterType]():
		return texts(ecrtypes.ImageTagMutabilityExclusionFilterType("").Values())
	case reflect.TypeFor[ecstypes.ApplicationProtocol]():
		return texts(ecstypes.ApplicationProtocol("").Values())
	case reflect.TypeFor[ecstypes.CPUArchitecture]():
		return texts(ecstypes.CPUArchitecture("").Values())
	case reflect.TypeFor[ecstypes.ClusterSettingName]():
		return texts(ecstypes.ClusterSettingName("").Values())
	case reflect.TypeFor[ecstypes.Compatibility]():
		return texts(ecstypes.Compatibility("").Values())
	case reflect.TypeFor[ecstypes.ContainerCondition]():
		return texts(ecstypes.ContainerCondition("").Values())
	case reflect.TypeFor[ecstypes.DeviceCgroupPermission]():
		return texts(ecstypes.DeviceCgroupPermission("").Values())
	case reflect.TypeFor[ecstypes.EFSAuthorizationConfigIAM]():
		return texts(ecstypes.EFSAuthorizationConfigIAM("").Values())
	case reflect.TypeFor[ecstypes.EFSTransitEncryption]():
		return texts(ecstypes.EFSTransitEncryption("").Values())
	case reflect.TypeFor[ecstypes.EnvironmentFileType]():
		return texts(ecstypes.EnvironmentFileType("").Values())
	case reflect.TypeFor[ecstypes.ExecuteCommandLogging]():
		return texts(ecstypes.ExecuteCommandLogging("").Values())
	case reflect.TypeFor[ecstypes.FirelensConfigurationType]():
		return texts(ecstypes.FirelensConfigurationType("").Values())
	case reflect.TypeFor[ecstypes.LogDriver]():
		return texts(ecstypes.LogDriver("").Values())
	case reflect.TypeFor[ecstypes.OSFamily]():
		return texts(ecstypes.OSFamily("").Values())
	case reflect.TypeFor[ecstypes.ProxyConfigurationType]():
		return texts(ecstypes.ProxyConfigurationType("").Values())
	case reflect.TypeFor[ecstypes.ResourceType]():
		return texts(ecstypes.ResourceType("").Values())
	case reflect.TypeFor[ecstypes.Scope]():
		return texts(ecstypes.Scope("").Values())
	case reflect.TypeFor[ecstypes.TaskDefinitionPlacementConstraintType]():
		return texts(ecstypes.TaskDefinitionPlacementConstraintType("").Values())
	case reflect.TypeFor[ecstypes.TransportProtocol]():
		return texts(ecstypes.TransportProtocol("").Values())
	case reflect.TypeFor[ecstypes.UlimitName]():
		return texts(ecstypes.UlimitName("").Values())
	case reflect.TypeFor[ecstypes.VersionConsistency]():
		return texts(ecstypes.VersionConsistency("").Values())
	}
	return nil
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
