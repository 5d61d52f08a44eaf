package main

import (
	"context"
	"fmt"
	"os"
	"time"

	coordination "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster is the Kubernetes API by client-go's typed clients, which send and ask for protobuf.
type cluster struct{ *kubernetes.Clientset }

func newCluster() (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	set, err := kubernetes.NewForConfig(config)
	return &cluster{set}, err
}

type volume struct {
	name       string
	attributes map[string]string
}

func (c *cluster) volume(ctx context.Context, namespace, claim string) (*volume, error) {
	claims := c.CoreV1().PersistentVolumeClaims(namespace)
	pvc, err := claims.Get(ctx, claim, meta.GetOptions{})
	if err != nil {
		return nil, err
	}
	name := pvc.Spec.VolumeName
	if name == "" {
		prime, err := claims.Get(ctx, "prime-"+string(pvc.UID), meta.GetOptions{})
		if err != nil {
			return nil, err
		}
		name = prime.Spec.VolumeName
	}
	pv, err := c.CoreV1().PersistentVolumes().Get(ctx, name, meta.GetOptions{})
	if err != nil {
		return nil, err
	}
	if pv.Spec.CSI == nil {
		return nil, fmt.Errorf("volume %s has no CSI source", name)
	}
	return &volume{name, pv.Spec.CSI.VolumeAttributes}, nil
}

// holdSlot takes a slot of the host: a Lease is created, read, updated, patched where that is allowed, and seen in a
// list and in a watch. It returns the Lease's name.
func (c *cluster) holdSlot(ctx context.Context, namespace, host string) (string, error) {
	leases := c.CoordinationV1().Leases(namespace)
	name, holder, seconds := fmt.Sprintf("esxi-lock-%s-slot-0", host), "go-populator", int32(10)
	now := meta.NewMicroTime(time.Now())
	spec := coordination.LeaseSpec{
		HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now,
	}
	created := &coordination.Lease{
		ObjectMeta: meta.ObjectMeta{
			Name: name, Labels: map[string]string{"host": host}, Annotations: map[string]string{"by": "client-go"},
		},
		Spec: spec,
	}
	if _, err := leases.Create(ctx, created, meta.CreateOptions{}); err != nil && !errors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create: %w", err)
	}
	lease, err := leases.Get(ctx, name, meta.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get: %w", err)
	}
	later := meta.NewMicroTime(time.Now())
	lease.Spec.HolderIdentity, lease.Spec.RenewTime = &holder, &later
	stored, err := leases.Update(ctx, lease, meta.UpdateOptions{})
	if err != nil {
		return "", fmt.Errorf("update: %w", err)
	}
	if got := stored.Spec.RenewTime; got == nil || got.UnixMicro() != later.UnixMicro() {
		return "", fmt.Errorf("update: renewTime is %v, not %v", got, later)
	}
	patch := []byte(`{"metadata":{"annotations":{"seen":"yes"}}}`)
	_, err = leases.Patch(ctx, name, types.MergePatchType, patch, meta.PatchOptions{})
	if err != nil && !errors.IsForbidden(err) {
		return "", fmt.Errorf("patch: %w", err)
	}
	list, err := leases.List(ctx, meta.ListOptions{LabelSelector: "host=" + host})
	if err != nil {
		return "", fmt.Errorf("list: %w", err)
	}
	options := meta.ListOptions{LabelSelector: "host=" + host, ResourceVersion: "0"}
	watch, err := leases.Watch(ctx, options)
	if err != nil {
		return "", fmt.Errorf("watch: %w", err)
	}
	defer watch.Stop()
	event, open := <-watch.ResultChan()
	if seen, ok := event.Object.(*coordination.Lease); !open || !ok || len(list.Items) > 0 && seen.Name != name {
		return "", fmt.Errorf("watch: the first event is %v", event)
	}
	return name, nil
}
