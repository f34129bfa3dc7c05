package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// Upload is a file that somebody gave to try: a policy, a device's configuration or a groups file. It stays in memory, since
// configurations hold secrets, and goes when the process stops.
type Upload struct {
	Name string
	Data []byte
}

// Bounds of the files that are kept.
const (
	mostUploads     = 32
	mostUploadBytes = 64 << 20 // A bound of all together, and so of each.
)

// uploadPrefix begins the names under which files that were given are asked for.
const uploadPrefix = "upload-"

// uploads keeps the files that were given last. A file is known by a digest of its name and content, so that giving it twice keeps it
// once and a link to it means the same file or none.
type uploads struct {
	mu    sync.Mutex
	known map[string]*Upload
	order []string // the one that was used last is last
	bytes int
}

func newUploads() *uploads { return &uploads{known: map[string]*Upload{}} }

// add keeps a file, and drops those that were not used for longest where there are too many.
func (u *uploads) add(f *Upload) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", f.Name)
	h.Write(f.Data)
	id := uploadPrefix + hex.EncodeToString(h.Sum(nil)[:8])
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known[id] == nil {
		u.known[id] = f
		u.bytes += len(f.Data)
	}
	u.used(id)
	for len(u.order) > mostUploads || u.bytes > mostUploadBytes && len(u.order) > 1 {
		u.bytes -= len(u.known[u.order[0]].Data)
		delete(u.known, u.order[0])
		u.order = u.order[1:]
	}
	return id
}

func (u *uploads) used(id string) {
	for i, x := range u.order {
		if x == id {
			u.order = append(u.order[:i:i], u.order[i+1:]...)
			break
		}
	}
	u.order = append(u.order, id)
}

// get gives a file, nil where it is not kept.
func (u *uploads) get(id string) *Upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.known[id]
	if f != nil {
		u.used(id)
	}
	return f
}

// given gives the files that parameters of a request name, by parameter. Other values of policy and against are ids of proposals.
func (a *API) given(asked url.Values, parameters ...string) (map[string]*Upload, error) {
	out := map[string]*Upload{}
	for _, p := range parameters {
		id := asked.Get(p)
		switch {
		case strings.HasPrefix(id, uploadPrefix):
		case p == "groups" && id != "": // a file of the server is nothing that a request may name
			return nil, wrongParameter(fmt.Errorf("--groups %q is no file that was given; POST /api/v1/uploads takes one", id), "query")
		default:
			continue
		}
		f := a.uploads.get(id)
		if f == nil {
			return nil, noUpload("query."+p, id)
		}
		out[p] = f
	}
	return out, nil
}

func noUpload(location, id string) error {
	text := fmt.Sprintf("file %s is not here: files that are given are kept until the process stops, the last %d of them; give it again", id, mostUploads)
	return huma.NewError(http.StatusNotFound, text, &huma.ErrorDetail{Location: location, Message: "no such file", Value: id})
}

// UploadOut tells of a file that is kept.
type UploadOut struct {
	Upload string `json:"upload" doc:"What stands for the file in policy, against and groups"`
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
}

type uploadOut struct {
	Location string `header:"Location"`
	Body     UploadOut
}

func (a *API) upload(ctx context.Context, in *struct {
	Name    string `query:"name" default:"policy" maxLength:"200" doc:"Name of the file, for messages"`
	RawBody []byte `contentType:"text/plain"`
}) (*uploadOut, error) {
	if err := editor(ctx); err != nil {
		return nil, err
	}
	id := a.uploads.add(&Upload{Name: in.Name, Data: in.RawBody})
	return &uploadOut{"/api/v1/uploads/" + id, UploadOut{id, in.Name, len(in.RawBody)}}, nil
}

func (a *API) uploaded(_ context.Context, in *struct {
	Upload string `path:"upload"`
}) (*struct{ Body UploadOut }, error) {
	f := a.uploads.get(in.Upload)
	if f == nil {
		return nil, noUpload("path.upload", in.Upload)
	}
	return &struct{ Body UploadOut }{UploadOut{in.Upload, f.Name, len(f.Data)}}, nil
}
