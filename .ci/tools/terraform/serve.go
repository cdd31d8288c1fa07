package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"weever/tools/terraform/schema"
)

var errOnlySchema = errors.New("this provider has a schema and nothing else: use it with mock_provider")

// stub answers questions about the schema; every call that would need a cloud fails, as embedding nothing would do by a nil pointer.
type stub struct {
	tfprotov6.ProviderServer

	provider schema.Provider
}

// GetProviderSchema implements tfprotov6.ProviderServer.
func (s *stub) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	r := &tfprotov6.GetProviderSchemaResponse{
		ServerCapabilities: &tfprotov6.ServerCapabilities{GetProviderSchemaOptional: true},
		ResourceSchemas:    map[string]*tfprotov6.Schema{},
		DataSourceSchemas:  map[string]*tfprotov6.Schema{},
	}
	var err error
	if r.Provider, err = convert(s.provider.Config); err != nil {
		return nil, err
	}
	for name, b := range s.provider.Resources {
		if r.ResourceSchemas[name], err = convert(b); err != nil {
			return nil, err
		}
	}
	for name, b := range s.provider.Data {
		if r.DataSourceSchemas[name], err = convert(b); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// GetMetadata implements tfprotov6.ProviderServer.
func (s *stub) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	r := &tfprotov6.GetMetadataResponse{ServerCapabilities: &tfprotov6.ServerCapabilities{GetProviderSchemaOptional: true}}
	for name := range s.provider.Resources {
		r.Resources = append(r.Resources, tfprotov6.ResourceMetadata{TypeName: name})
	}
	for name := range s.provider.Data {
		r.DataSources = append(r.DataSources, tfprotov6.DataSourceMetadata{TypeName: name})
	}
	return r, nil
}

// GetResourceIdentitySchemas implements tfprotov6.ProviderServer.
func (s *stub) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

// ValidateProviderConfig implements tfprotov6.ProviderServer.
func (s *stub) ValidateProviderConfig(_ context.Context, r *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: r.Config}, nil
}

// ValidateResourceConfig implements tfprotov6.ProviderServer: what the schema says Terraform has checked itself.
func (s *stub) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

// ValidateDataResourceConfig implements tfprotov6.ProviderServer.
func (s *stub) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

// ConfigureProvider implements tfprotov6.ProviderServer: here it ends for who has not mocked it.
func (s *stub) ConfigureProvider(context.Context, *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return nil, errOnlySchema
}

// UpgradeResourceState implements tfprotov6.ProviderServer: OpenTofu asks even where the provider is mocked, and the version is the same.
func (s *stub) UpgradeResourceState(_ context.Context, r *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	of, err := convert(s.provider.Resources[r.TypeName])
	if err != nil {
		return nil, err
	}
	v, err := r.RawState.Unmarshal(of.ValueType())
	if err != nil {
		return nil, err
	}
	state, err := tfprotov6.NewDynamicValue(of.ValueType(), v)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

// StopProvider implements tfprotov6.ProviderServer.
func (s *stub) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func convert(b schema.Block) (*tfprotov6.Schema, error) {
	inner, err := convertBlock(b)
	return &tfprotov6.Schema{Block: inner}, err
}

func convertBlock(b schema.Block) (*tfprotov6.SchemaBlock, error) {
	out := &tfprotov6.SchemaBlock{}
	for name, a := range b.Attrs {
		t, err := tftypes.ParseJSONType(json.RawMessage(a.Type())) //nolint:staticcheck // the only reader of the form that Terraform itself writes
		if err != nil {
			return nil, err
		}
		out.Attributes = append(out.Attributes, &tfprotov6.SchemaAttribute{
			Name: name, Type: t, Required: a.Is('r'), Optional: a.Is('o'), Computed: a.Is('c'),
		})
	}
	kinds := map[string]tfprotov6.SchemaNestedBlockNestingMode{
		"list": tfprotov6.SchemaNestedBlockNestingModeList, "set": tfprotov6.SchemaNestedBlockNestingModeSet,
		"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
	}
	for name, n := range b.Blocks {
		inner, err := convertBlock(n.Block)
		if err != nil {
			return nil, err
		}
		out.BlockTypes = append(out.BlockTypes, &tfprotov6.SchemaNestedBlock{TypeName: name, Block: inner, Nesting: kinds[n.Nest], MinItems: n.Min, MaxItems: n.Max})
	}
	return out, nil
}
