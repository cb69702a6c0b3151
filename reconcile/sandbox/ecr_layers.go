package sandbox

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
)

// Layers are counted and checked, and thrown away: nothing can be pulled. What
// is left of one is its digest and its size.

// An ecrUpload is a layer that is on its way.
type ecrUpload struct {
	Sum   []byte // the state of the SHA-256 sum over what has come
	Size  int64
	Small bool `json:",omitempty"` // its last part was below the least size, so that no other may follow
}

const (
	ecrPartSize  = 10 << 20
	ecrLeastPart = 5 << 20
)

func (u *ecrUpload) sum() (hash.Hash, error) {
	h := sha256.New()
	if u.Sum == nil {
		return h, nil
	}
	err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(u.Sum)
	return h, err
}

func ecrInitiateLayerUpload(st *state, r *request, in ecrRef) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if repo.Uploads == nil {
		repo.Uploads = map[string]*ecrUpload{}
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	repo.Uploads[id] = &ecrUpload{}
	return map[string]any{"uploadId": id, "partSize": ecrPartSize}, nil
}

// ecrUploadRef names an upload in a call's input.
type ecrUploadRef struct {
	ecrRef
	UploadID string
}

func (ref ecrUploadRef) find(st *state, r *request) (*ecrRepository, *ecrUpload, error) {
	repo, err := ref.ecrRef.find(st, r)
	if err != nil {
		return nil, nil, err
	}
	u := repo.Uploads[ref.UploadID]
	if u == nil {
		return nil, nil, badRequest("UploadNotFoundException", "Upload with id '%s' does not exist in the repository with name '%s' in the registry with id '%s'",
			ref.UploadID, ref.RepositoryName, r.account)
	}
	return repo, u, nil
}

func ecrUploadLayerPart(st *state, r *request, in struct {
	ecrUploadRef
	PartFirstByte int64
	PartLastByte  int64
	LayerPartBlob []byte
},
) (any, error) {
	_, u, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	n := int64(len(in.LayerPartBlob))
	if in.PartFirstByte != u.Size || in.PartLastByte != u.Size+n-1 || n == 0 || n > ecrPartSize {
		return nil, badRequest("InvalidLayerPartException", "The layer part of bytes %d to %d is not valid: byte %d is next, and a part has up to %d bytes",
			in.PartFirstByte, in.PartLastByte, u.Size, ecrPartSize)
	}
	if u.Small {
		return nil, badRequest("LayerPartTooSmallException", "Every part of a layer but the last has at least %d bytes", ecrLeastPart)
	}
	h, err := u.sum()
	if err != nil {
		return nil, err
	}
	_, _ = h.Write(in.LayerPartBlob) // never fails
	if u.Sum, err = h.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return nil, err
	}
	u.Size += n
	u.Small = n < ecrLeastPart
	return map[string]any{
		"registryId": r.account, "repositoryName": in.RepositoryName, "uploadId": in.UploadID, "lastByteReceived": u.Size - 1,
	}, nil
}

func ecrCompleteLayerUpload(st *state, r *request, in struct {
	ecrUploadRef
	LayerDigests []string
},
) (any, error) {
	repo, u, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if u.Size == 0 {
		return nil, badRequest("EmptyUploadException", "Layer upload '%s' does not contain any layer parts", in.UploadID)
	}
	h, err := u.sum()
	if err != nil {
		return nil, err
	}
	digest := fmt.Sprintf("sha256:%x", h.Sum(nil))
	if !slices.Contains(in.LayerDigests, digest) {
		return nil, badRequest("InvalidLayerException", "The digest of the layer is %s, not one of %v", digest, in.LayerDigests)
	}
	delete(repo.Uploads, in.UploadID)
	if _, ok := repo.Layers[digest]; ok {
		return nil, badRequest("LayerAlreadyExistsException", "Layer with digest '%s' already exists in the repository with name '%s' in the registry with id '%s'",
			digest, in.RepositoryName, r.account)
	}
	if repo.Layers == nil {
		repo.Layers = map[string]int64{}
	}
	repo.Layers[digest] = u.Size
	return map[string]any{
		"registryId": r.account, "repositoryName": in.RepositoryName, "uploadId": in.UploadID, "layerDigest": digest,
	}, nil
}

func ecrBatchCheckLayerAvailability(st *state, r *request, in struct {
	ecrRef
	LayerDigests []string
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if n := len(in.LayerDigests); n < 1 || n > 100 {
		return nil, ecrInvalid("layerDigests", "1 to 100 digests")
	}
	type layer struct {
		LayerDigest       string `json:"layerDigest"`
		LayerAvailability string `json:"layerAvailability"`
		LayerSize         int64  `json:"layerSize,omitempty"`
	}
	layers := []layer{}
	for _, digest := range in.LayerDigests {
		l := layer{digest, "UNAVAILABLE", 0}
		if size, ok := repo.Layers[digest]; ok {
			l = layer{digest, "AVAILABLE", size}
		}
		layers = append(layers, l)
	}
	return map[string]any{"layers": layers, "failures": []ecrImageFailure{}}, nil
}

// missingLayers are the digests of an image's manifest, its configuration's and
// its layers', that were never uploaded. What is no such manifest names none.
func (repo *ecrRepository) missingLayers(manifest string) []string {
	type blob struct{ Digest string }
	var in struct {
		Config blob
		Layers []blob
	}
	if json.NewDecoder(bytes.NewReader([]byte(manifest))).Decode(&in) != nil {
		return nil
	}
	var missing []string
	for _, b := range append([]blob{in.Config}, in.Layers...) {
		if _, ok := repo.Layers[b.Digest]; b.Digest != "" && !ok {
			missing = append(missing, b.Digest)
		}
	}
	return missing
}
