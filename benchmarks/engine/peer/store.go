package main

import (
	"context"
	"strconv"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// ownEvery says which clusters a node has to itself where nodes see different things.
const ownEvery = 10

// A change is a new version of one resource.
type change struct {
	typeURL string
	number  int
	stamp   uint64
}

// A size says how much is served; with views, each node sees clusters of its own.
type size struct {
	clusters, endpoints, views int
}

// A store is one of the caches of go-control-plane with something in it.
type store interface {
	cache.Cache
	populate(size) error
	apply([]change) error
}

// snapshotStore serves a snapshot for each view.
type snapshotStore struct {
	cache.SnapshotCache
	size        size
	version     int
	clusters    map[string][]types.Resource // by owner
	assignments []types.Resource
}

func newSnapshotStore() *snapshotStore {
	filled := &snapshotStore{clusters: map[string][]types.Resource{}}
	filled.SnapshotCache = cache.NewSnapshotCache(true, filled, nil)
	return filled
}

// ID returns the key of the snapshot that a node sees.
func (s *snapshotStore) ID(node *core.Node) string {
	if s.size.views == 0 {
		return ""
	}
	return node.GetId()
}

func (s *snapshotStore) populate(wanted size) error {
	s.size = wanted
	s.clusters[""] = make([]types.Resource, wanted.clusters)
	for view := range wanted.views {
		s.clusters["node-"+strconv.Itoa(view)] = make([]types.Resource, wanted.clusters)
	}
	var initial []change
	for number := range wanted.clusters {
		initial = append(initial, change{resource.ClusterType, number, unchanged})
	}
	if wanted.endpoints > 0 {
		s.assignments = make([]types.Resource, wanted.clusters)
		for number := range wanted.clusters {
			initial = append(initial, change{resource.EndpointType, number, unchanged})
		}
	}
	return s.apply(initial)
}

func (s *snapshotStore) apply(changes []change) error {
	for _, each := range changes {
		if each.typeURL == resource.EndpointType {
			s.assignments[each.number] = buildAssignment(each.number, s.size.endpoints, each.stamp)
		} else if err := s.applyCluster(each); err != nil {
			return err
		}
	}
	s.version++
	for owner := range s.clusters {
		if s.size.views > 0 && owner == "" {
			continue // a template that no node sees
		}
		if err := s.publish(owner); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshotStore) applyCluster(changed change) error {
	shared, err := buildCluster(changed.number, "", changed.stamp)
	if err != nil {
		return err
	}
	for owner, clusters := range s.clusters {
		clusters[changed.number] = shared
		if owner != "" && changed.number%ownEvery == 0 {
			own, err := buildCluster(changed.number, owner, changed.stamp)
			if err != nil {
				return err
			}
			clusters[changed.number] = own
		}
	}
	return nil
}

func (s *snapshotStore) publish(owner string) error {
	snapshot, err := cache.NewSnapshot(strconv.Itoa(s.version), map[resource.Type][]types.Resource{
		resource.ClusterType:  s.clusters[owner],
		resource.EndpointType: s.assignments,
	})
	if err != nil {
		return err
	}
	return s.SetSnapshot(context.Background(), owner, snapshot)
}

// linearStore serves the same to all nodes, from a linear cache for each type.
type linearStore struct {
	*cache.MuxCache
	size   size
	caches map[string]*cache.LinearCache
}

func newLinearStore() *linearStore {
	caches := map[string]*cache.LinearCache{
		resource.ClusterType:  cache.NewLinearCache(resource.ClusterType),
		resource.EndpointType: cache.NewLinearCache(resource.EndpointType),
	}
	byType := map[string]cache.Cache{}
	for typeURL, each := range caches {
		byType[typeURL] = each
	}
	return &linearStore{caches: caches, MuxCache: &cache.MuxCache{
		Classify:      (*discovery.DiscoveryRequest).GetTypeUrl,
		ClassifyDelta: (*discovery.DeltaDiscoveryRequest).GetTypeUrl,
		Caches:        byType,
	}}
}

func (s *linearStore) populate(wanted size) error {
	s.size = wanted
	var initial []change
	for number := range wanted.clusters {
		initial = append(initial, change{resource.ClusterType, number, unchanged})
		if wanted.endpoints > 0 {
			initial = append(initial, change{resource.EndpointType, number, unchanged})
		}
	}
	return s.apply(initial)
}

func (s *linearStore) apply(changes []change) error {
	updates := map[string]map[string]types.Resource{}
	for _, each := range changes {
		built, err := s.build(each)
		if err != nil {
			return err
		}
		if updates[each.typeURL] == nil {
			updates[each.typeURL] = map[string]types.Resource{}
		}
		updates[each.typeURL][nameOf(each.number)] = built
	}
	for typeURL, resources := range updates {
		if err := s.caches[typeURL].UpdateResources(resources, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *linearStore) build(changed change) (types.Resource, error) {
	if changed.typeURL == resource.EndpointType {
		return buildAssignment(changed.number, s.size.endpoints, changed.stamp), nil
	}
	return buildCluster(changed.number, "", changed.stamp)
}
