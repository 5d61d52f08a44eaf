package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// lunFields are what Go clients of ONTAP's REST API ask for: more than anybody needs.
const lunFields = "uuid,name,serial_number,space.size,space.used,qos_policy.name,create_time,comment,enabled," +
	"status.state,status.mapped,os_type,svm.name,location.volume.name,class,lun_maps.logical_unit_number"

// array is ONTAP's REST API by net/http; bodies are of unknown length, so they are sent in chunks.
type array struct{ base, user, password string }

func newArray() *array {
	return &array{
		"https://" + os.Getenv("STORAGE_HOSTNAME") + "/api", os.Getenv("STORAGE_USERNAME"), os.Getenv("STORAGE_PASSWORD"),
	}
}

type lun struct {
	UUID   string `json:"uuid"`
	Name   string `json:"name"`
	Serial string `json:"serial_number"`
	Svm    struct {
		Name string `json:"name"`
	} `json:"svm"`
}

func (l *lun) device() string { return "naa.600a0980" + hex.EncodeToString([]byte(l.Serial)) }

func (a *array) find(ctx context.Context, volume string) (*lun, error) {
	query := url.Values{"name": {"/vol/" + volume + "/lun0"}, "fields": {lunFields}}
	var found struct{ Records []lun }
	if err := a.call(ctx, http.MethodGet, "/storage/luns?"+query.Encode(), nil, &found); err != nil {
		return nil, err
	}
	if len(found.Records) != 1 {
		return nil, fmt.Errorf("%d LUNs for %s", len(found.Records), volume)
	}
	return &found.Records[0], nil
}

func (a *array) mapTo(ctx context.Context, l *lun, host string, initiators []string) (string, error) {
	var names []map[string]string
	for _, one := range initiators {
		names = append(names, map[string]string{"name": one})
	}
	name := "by-go-" + host
	group := map[string]any{
		"name": name, "svm": l.Svm, "protocol": "iscsi", "os_type": "vmware", "initiators": names,
	}
	if err := a.call(ctx, http.MethodPost, "/protocols/san/igroups", group, nil); err != nil {
		return "", err
	}
	body := map[string]any{
		"svm": l.Svm, "lun": map[string]string{"name": l.Name}, "igroup": map[string]string{"name": name},
	}
	if err := a.call(ctx, http.MethodPost, "/protocols/san/lun-maps", body, nil); err != nil {
		return "", err
	}
	var found struct {
		Records []struct {
			Igroup struct {
				UUID string `json:"uuid"`
			} `json:"igroup"`
		}
	}
	query := url.Values{"lun.name": {l.Name}, "fields": {"igroup.uuid,logical-unit-number"}}
	if err := a.call(ctx, http.MethodGet, "/protocols/san/lun-maps?"+query.Encode(), nil, &found); err != nil {
		return "", err
	}
	if len(found.Records) != 1 {
		return "", fmt.Errorf("%s has %d maps", l.Name, len(found.Records))
	}
	return found.Records[0].Igroup.UUID, nil
}

func (a *array) unmap(ctx context.Context, l *lun, group string) error {
	if err := a.call(ctx, http.MethodDelete, "/protocols/san/lun-maps/"+l.UUID+"/"+group, nil, nil); err != nil {
		return err
	}
	return a.call(ctx, http.MethodDelete, "/protocols/san/igroups/"+group, nil, nil)
}

func (a *array) call(ctx context.Context, method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		pipe, writer := io.Pipe()
		go func() { _ = writer.CloseWithError(json.NewEncoder(writer).Encode(body)) }()
		reader = pipe
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, reader)
	if err != nil {
		return err
	}
	request.SetBasicAuth(a.user, a.password)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(text)))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
