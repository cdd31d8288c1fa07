// Command list is the Lambda that tells who is there: GET /list/pub/{room}, /list/sub/{room} and /rooms.
//
// API Gateway starts it and ends it; between events it keeps only its connections to Redis. It is configured by WEEVER_REDIS (a URL as
// in mediad's --redis) and WEEVER_NAMESPACE (default "weever"); who may call it is decided by the gateway before it.
package main

import (
	"cmp"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"weever/shared/controlapi"
	"weever/shared/gateway"
	"weever/shared/redisdb"
	"weever/shared/store"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	db, err := redisdb.Open(os.Getenv("WEEVER_REDIS"), cmp.Or(os.Getenv("WEEVER_NAMESPACE"), "weever"))
	if err != nil {
		log.Error("cannot start: set WEEVER_REDIS and WEEVER_NAMESPACE right", "err", err)
		os.Exit(1)
	}
	lambda.Start(gateway.New(controlapi.New(controlapi.Config{Store: store.New(db, log), Log: log, Routes: controlapi.List})))
}
