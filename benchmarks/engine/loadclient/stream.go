package main

import (
	"context"
	"fmt"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

const (
	clusterType    = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	assignmentType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	service        = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
	bufferBytes    = 4096 // for each of thousands of connections, in each direction
)

// An interest is what every stream of a fleet asks for.
type interest struct {
	isDelta  bool
	typeURL  string
	names    []string // empty: a wildcard
	expected int      // resources
}

// An ack says that a stream has acknowledged a response.
type ack struct {
	stream    int
	at        time.Time
	resources int
	bytes     int
	stamp     uint64 // the newest in the response
	before    uint64 // the newest in all responses before
}

// raw passes messages as bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = data
	return nil
}

// A stream is one client: a connection, and one ADS stream on it.
type stream struct {
	number     int
	interest   interest
	connection *grpc.ClientConn
	call       grpc.ClientStream
	responses  int
}

// open connects and subscribes.
func open(ctx context.Context, number int, server string, wants interest) (*stream, error) {
	connection, err := grpc.NewClient(
		"passthrough:///"+server,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(bufferBytes),
		grpc.WithWriteBufferSize(bufferBytes),
	)
	if err != nil {
		return nil, err
	}
	method := "StreamAggregatedResources"
	if wants.isDelta {
		method = "DeltaAggregatedResources"
	}
	call, err := connection.NewStream(
		ctx,
		&grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		service+method,
		grpc.ForceCodec(raw{}),
		grpc.MaxCallRecvMsgSize(1<<30),
		grpc.WaitForReady(true),
	)
	opened := &stream{number: number, interest: wants, connection: connection, call: call}
	if err == nil {
		err = opened.send(opened.subscription())
	}
	return opened, err
}

// follow acknowledges each response at once, and tells of it, until the stream ends.
func (s *stream) follow(acks chan<- ack) error {
	var message []byte
	for {
		if err := s.call.RecvMsg(&message); err != nil {
			return fmt.Errorf("stream %d: %w", s.number, err)
		}
		s.responses++
		received, err := summarize(message, stamps[s.interest.typeURL], s.interest.isDelta)
		if err != nil {
			return err
		}
		if err := s.send(s.answer(received)); err != nil {
			return fmt.Errorf("stream %d: %w", s.number, err)
		}
		acks <- ack{
			stream:    s.number,
			at:        time.Now(),
			resources: received.resources,
			bytes:     len(message),
			stamp:     received.stamp,
		}
	}
}

func (s *stream) send(request proto.Message) error {
	message, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	return s.call.SendMsg(message)
}

func (s *stream) subscription() proto.Message {
	node := &core.Node{
		Id:            fmt.Sprintf("node-%d", s.number),
		Cluster:       "load",
		UserAgentName: "envoy",
		Locality:      &core.Locality{Region: "region-1", Zone: fmt.Sprintf("zone-%d", s.number%3)},
	}
	if !s.interest.isDelta {
		return &discovery.DiscoveryRequest{
			Node: node, TypeUrl: s.interest.typeURL, ResourceNames: s.interest.names,
		}
	}
	return &discovery.DeltaDiscoveryRequest{
		Node: node, TypeUrl: s.interest.typeURL, ResourceNamesSubscribe: s.interest.names,
	}
}

func (s *stream) answer(received summary) proto.Message {
	if !s.interest.isDelta {
		return &discovery.DiscoveryRequest{
			TypeUrl:       s.interest.typeURL,
			ResourceNames: s.interest.names,
			VersionInfo:   received.version,
			ResponseNonce: received.nonce,
		}
	}
	return &discovery.DeltaDiscoveryRequest{
		TypeUrl: s.interest.typeURL, ResponseNonce: received.nonce,
	}
}
