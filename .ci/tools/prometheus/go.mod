module weever/tools/prometheus

go 1.26

require github.com/prometheus/prometheus v0.311.3
