package main

import (
	"fmt"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	roundrobin "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// unchanged is the stamp of what has not changed since it was populated.
const unchanged = 1

func nameOf(number int) string {
	return fmt.Sprintf("cluster-%05d", number)
}

// buildCluster returns a cluster that carries its stamp in the nanoseconds of its
// connect timeout. The owner is the one node that sees it, "" where all do.
func buildCluster(number int, owner string, stamp uint64) (*cluster.Cluster, error) {
	policy, err := anypb.New(&roundrobin.RoundRobin{})
	if err != nil {
		return nil, err
	}
	timeout := 5*time.Second + time.Duration(stamp)
	return &cluster.Cluster{
		Name:                 nameOf(number),
		AltStatName:          owner,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{
			EdsConfig: &core.ConfigSource{
				ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
				ResourceApiVersion:    core.ApiVersion_V3,
			},
		},
		ConnectTimeout:                durationpb.New(timeout),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(32768),
		LoadBalancingPolicy: &cluster.LoadBalancingPolicy{
			Policies: []*cluster.LoadBalancingPolicy_Policy{{
				TypedExtensionConfig: &core.TypedExtensionConfig{
					Name: "round_robin", TypedConfig: policy,
				},
			}},
		},
	}, nil
}

// buildAssignment returns endpoints of which the first carries the stamp as its weight.
func buildAssignment(number, endpoints int, stamp uint64) *endpoint.ClusterLoadAssignment {
	group := &endpoint.LocalityLbEndpoints{
		Locality: &core.Locality{Region: "region-1", Zone: "zone-1"},
	}
	for host := range endpoints {
		group.LbEndpoints = append(group.LbEndpoints, &endpoint.LbEndpoint{
			HealthStatus:        core.HealthStatus_HEALTHY,
			LoadBalancingWeight: wrapperspb.UInt32(unchanged),
			HostIdentifier:      &endpoint.LbEndpoint_Endpoint{Endpoint: buildEndpoint(number, host)},
		})
	}
	group.LbEndpoints[0].LoadBalancingWeight.Value = uint32(stamp)
	return &endpoint.ClusterLoadAssignment{
		ClusterName: nameOf(number),
		Endpoints:   []*endpoint.LocalityLbEndpoints{group},
	}
}

func buildEndpoint(number, host int) *endpoint.Endpoint {
	return &endpoint.Endpoint{
		Address: &core.Address{
			Address: &core.Address_SocketAddress{
				SocketAddress: &core.SocketAddress{
					Address:       fmt.Sprintf("10.%d.%d.%d", number/256, number%256, host+1),
					PortSpecifier: &core.SocketAddress_PortValue{PortValue: 8080},
				},
			},
		},
	}
}
