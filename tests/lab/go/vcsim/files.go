package main

import (
	"net/http"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// guardFiles closes two gaps of stock vcsim's datastore access (GET and PUT /folder/…?dsName=…): it asks nobody who
// he is, and takes the datastore's name for a pattern. A VVol container's top folders keep vcsim's habit of being
// renamed to UUIDs.
func guardFiles(config *Config, model *simulator.Model, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/folder/") {
			if !known(config, model, r) {
				w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			query := r.URL.Query()
			query.Set("dsName", escape(query.Get("dsName")))
			r.URL.RawQuery = query.Encode()
		}
		next.ServeHTTP(w, r)
	})
}

// known says whether a request carries the password or a live session's cookie.
func known(config *Config, model *simulator.Model, r *http.Request) bool {
	if user, password, ok := r.BasicAuth(); ok {
		return user == config.Username && password == config.Password
	}
	cookie, err := r.Cookie(soap.SessionCookieName)
	if err != nil {
		return false
	}
	for _, session := range sessions(model) {
		if session.Key == cookie.Value {
			return true
		}
	}
	return false
}

func sessions(model *simulator.Model) []types.UserSession {
	manager := model.Map().SessionManager().Self
	// A session is shown a copy of the manager that lists all of them.
	return model.Service.Context.Session.Get(manager).(*simulator.SessionManager).SessionList
}
