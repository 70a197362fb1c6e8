// The benchmarks' service on grpc-go: a server that is fast enough for the client to be what is measured.
//
// It prints its port and runs until its standard input ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const window = 16 << 20 // fixed, so that grpc-go does not measure the connection's by PINGs

func payload(size int) *wrapperspb.BytesValue {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(i)
	}
	return wrapperspb.Bytes(value)
}

func unary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	message := new(wrapperspb.BytesValue)
	if err := decode(message); err != nil {
		return nil, err
	}
	return message, nil
}

func send(message *wrapperspb.BytesValue) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		count := new(wrapperspb.Int64Value)
		if err := stream.RecvMsg(count); err != nil {
			return err
		}
		for range count.Value {
			if err := stream.SendMsg(message); err != nil {
				return err
			}
		}
		return nil
	}
}

func upload(_ any, stream grpc.ServerStream) error {
	var size int64
	message := new(wrapperspb.BytesValue)
	for {
		err := stream.RecvMsg(message)
		if err == io.EOF {
			return stream.SendMsg(wrapperspb.Int64(size))
		}
		if err != nil {
			return err
		}
		size += int64(len(message.Value))
	}
}

func echo(_ any, stream grpc.ServerStream) error {
	for {
		message := new(wrapperspb.BytesValue)
		err := stream.RecvMsg(message)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = stream.SendMsg(message)
		}
		if err != nil {
			return err
		}
	}
}

func main() {
	certificate := flag.String("certificate", "", "PEM file with key and chain")
	flag.Parse()
	options := []grpc.ServerOption{
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.MaxRecvMsgSize(window), grpc.SharedWriteBuffer(true),
	}
	if *certificate != "" {
		tls, err := credentials.NewServerTLSFromFile(*certificate, *certificate)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(tls))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Bench",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Download", Handler: send(payload(1 << 20)), ServerStreams: true},
			{StreamName: "Many", Handler: send(payload(100)), ServerStreams: true},
			{StreamName: "Upload", Handler: upload, ClientStreams: true},
			{StreamName: "Idle", Handler: echo, ClientStreams: true, ServerStreams: true},
		},
	}, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(server.Serve(listener))
}
