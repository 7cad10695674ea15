// Command peer is an xDS server on go-control-plane, written as its documentation and its
// example do it: what xds-server is compared with.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

func main() {
	xds := flag.String("xds", "127.0.0.1:0", "address to serve on")
	orders := flag.String("control", "127.0.0.1:0", "address to take commands on")
	kind := flag.String("cache", "snapshot", "snapshot or linear")
	flag.Parse()

	var served store = newSnapshotStore()
	if *kind == "linear" {
		served = newLinearStore()
	}
	control, err := net.Listen("tcp", *orders)
	if err != nil {
		log.Fatal(err)
	}
	driven := &driver{store: served}
	go func() { log.Fatal(driven.listen(control)) }()
	log.Fatal(serve(*xds, served))
}

func serve(address string, served store) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	// The options of go-control-plane's own example server.
	shell := grpc.NewServer(
		grpc.MaxConcurrentStreams(1_000_000),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 30 * time.Second, Timeout: 5 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 30 * time.Second, PermitWithoutStream: true,
		}),
	)
	engine := server.NewServer(context.Background(), served, nil)
	discovery.RegisterAggregatedDiscoveryServiceServer(shell, engine)
	return shell.Serve(listener)
}
