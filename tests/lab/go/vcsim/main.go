// Command vcsim is a vCenter for tests: govmomi's simulator with the inventory of a JSON file.
//
// Stock vcsim keeps the inventory, sessions and files. Added to it are storage adapters, paths and disks as the
// file describes them, esxcli calls answered by another program (see executer.go), and a control socket
// (see control.go). It prints one line of JSON when it serves and ends when its standard input is closed,
// so it never outlives the program that started it.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

// Config is the file named by --config. The README of the protocol is tests/lab/vcenter.py, which writes it.
type Config struct {
	Socket       string          `json:"socket"`       // control socket; none if empty
	EsxcliSocket string          `json:"esxcliSocket"` // who answers esxcli; stock vcsim if empty
	Listen       string          `json:"listen"`
	CertFile     string          `json:"certFile"`
	KeyFile      string          `json:"keyFile"`
	Username     string          `json:"username"`
	Password     string          `json:"password"`
	Hosts        []HostSpec      `json:"hosts"`
	Datastores   []DatastoreSpec `json:"datastores"`
	VMs          []VMSpec        `json:"vms"`
}

// Ready is the line on standard output.
type Ready struct {
	URL        string            `json:"url"`
	Hosts      map[string]string `json:"hosts"`
	VMs        map[string]string `json:"vms"`
	Datastores map[string]string `json:"datastores"`
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	log.SetPrefix("vcsim ")
	config := flag.String("config", "", "JSON `file` with address, credentials and inventory")
	flag.Parse()
	if err := run(*config, os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(file string, stdin io.Reader, stdout io.Writer) error {
	config, err := readConfig(file)
	if err != nil {
		return err
	}
	model, ready, err := build(config)
	if err != nil {
		return err
	}
	defer model.Remove()
	if err := serve(config, model, ready); err != nil {
		return err
	}
	if config.Socket != "" {
		stop, err := control(config.Socket, model)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := json.NewEncoder(stdout).Encode(ready); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}

func readConfig(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decoder := json.NewDecoder(f)
	decoder.DisallowUnknownFields() // a misspelt key would otherwise be a silent default
	config := new(Config)
	if err := decoder.Decode(config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if config.Username == "" || config.Password == "" {
		return nil, errors.New("username and password are required: vcsim without them lets everybody in")
	}
	return config, nil
}

// serve starts the HTTPS server and completes the ready line with its address.
func serve(config *Config, model *simulator.Model, ready *Ready) error {
	cert, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
	if err != nil {
		return err
	}
	service := model.Service
	service.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	service.Listen = &url.URL{Host: config.Listen, User: url.UserPassword(config.Username, config.Password)}
	server := service.NewServer()
	server.Config.Handler = guardFiles(config, model, server.Config.Handler) // before anybody knows the port
	ready.URL = "https://" + server.URL.Host + server.URL.Path
	return nil
}
