package server

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/runnerml/runner/internal/controller"
)

// StepHeader is in answers of status 102 (Processing), of which any number may
// come before that of a request that takes long: how far it is, a
// [controller.Progress] in JSON.
const StepHeader = "Runner-Step"

// interim says how far a request is before it is answered.
type interim struct {
	mu   sync.Mutex
	out  http.ResponseWriter
	over bool
}

func (i *interim) tell(p controller.Progress) {
	step, err := json.Marshal(p)
	if err != nil {
		return // a line less
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return
	}
	i.out.Header().Set(StepHeader, string(step))
	i.out.WriteHeader(http.StatusProcessing)
	i.out.Header().Del(StepHeader)
}

// end comes before the answer.
func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}
