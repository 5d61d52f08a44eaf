package main

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// wrapper runs an operation of the host's vmkfstools wrapper; arguments are pairs of an option and its value.
type wrapper func(ctx context.Context, operation string, arguments ...string) (*answer, error)

func copyDisk(ctx context.Context, j job, s *site, on *source, device string) (string, error) {
	call := byEsxcli(s, on)
	if j.method == "ssh" {
		client, err := dial(on.address, j.sshPort)
		if err != nil {
			return "", err
		}
		defer client.Close()
		script, err := os.ReadFile(j.script)
		if err != nil {
			return "", err
		}
		if err := s.upload(ctx, on, script); err != nil {
			return "", fmt.Errorf("upload: %w", err)
		}
		call = bySSH(client, on.path.Datastore)
	}
	started, err := call(ctx, "clone", "-s", on.file(), "-t", "/vmfs/devices/disks/"+device)
	if err != nil {
		return "", err
	}
	for {
		state, err := call(ctx, "taskGet", "-i", started.TaskID)
		if err != nil {
			return "", err
		}
		if state.Exit == "" {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if state.Exit != "0" {
			return "", fmt.Errorf("exit code %s: %s", state.Exit, state.Error)
		}
		_, err = call(ctx, "taskClean", "-i", started.TaskID)
		return started.TaskID, err
	}
}

func byEsxcli(s *site, on *source) wrapper {
	return func(ctx context.Context, operation string, arguments ...string) (*answer, error) {
		rows, err := s.esxcli(ctx, on, append([]string{"vmkfstools", operation}, arguments...)...)
		if err != nil {
			return nil, err
		}
		if len(rows) != 1 {
			return nil, fmt.Errorf("%s answers %d rows", operation, len(rows))
		}
		return read(rows[0].Value("status"), rows[0].Value("message"))
	}
}

func dial(address string, port int) (*ssh.Client, error) {
	pem, err := base64.StdEncoding.DecodeString(os.Getenv("SSH_PRIVATE_KEY"))
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: 30 * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // as Forklift's own populator does
	}
	return ssh.Dial("tcp", net.JoinHostPort(address, strconv.Itoa(port)), config)
}

func bySSH(client *ssh.Client, datastore string) wrapper {
	options := map[string]string{"clone": "--clone", "taskGet": "--task-get", "taskClean": "--task-clean"}
	return func(_ context.Context, operation string, arguments ...string) (*answer, error) {
		session, err := client.NewSession()
		if err != nil {
			return nil, err
		}
		defer session.Close()
		command := "DS=" + datastore + ";CMD=" + options[operation]
		for _, word := range arguments {
			command += " " + word
		}
		output, err := session.CombinedOutput(command)
		var said struct {
			Fields []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:"string"`
			} `xml:"structure>field"`
		}
		if problem := xml.Unmarshal(output, &said); problem != nil {
			return nil, fmt.Errorf("%s: %q: %w", command, output, err)
		}
		fields := map[string]string{}
		for _, field := range said.Fields {
			fields[field.Name] = field.Value
		}
		return read(fields["status"], fields["message"])
	}
}
