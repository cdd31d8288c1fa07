// What a dashboard of infra/grafana may be, by Grafana's own types: checked by `tsc`, never run.
import type { AnnotationQuery, Dashboard, DataSourceRef, FieldConfig, Panel, RowPanel, VariableModel } from "@grafana/schema";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type {
  FieldConfig as LineConfig,
  Options as TimeSeriesOptions,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

// JSON has the words and numbers of enums, not their names, and null where a type says a number may be -Infinity.
type Json<T> = T extends string ? `${T}` : T extends number ? number | null : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

// The library takes anything for a key that it does not know: what must be right is spelt out.
type Known<T> = { [K in keyof T as string extends K ? never : K]: T[K] };
type Target = {
  refId: string;
  datasource: DataSourceRef;
  expr: string;
  legendFormat: string;
  editorMode: "code";
  range: true;
};
type Fields<Custom> = { defaults: Omit<Known<FieldConfig>, "custom"> & { custom?: Custom }; overrides: [] };
type Any<Type extends string, Options, Custom> = Omit<Known<Panel>, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Type;
  options: Options;
  fieldConfig: Fields<Custom>;
  targets: Target[];
};
type Row = Omit<Known<RowPanel>, "panels"> & { panels: [] };

export type Weever = Json<
  Omit<Known<Dashboard>, "panels" | "annotations" | "templating"> & {
    panels: (Row | Any<"stat", StatOptions, never> | Any<"timeseries", TimeSeriesOptions, LineConfig>)[];
    annotations: { list: (Known<AnnotationQuery> & { expr: string; titleFormat: string; textFormat: string })[] };
    templating: { list: Known<VariableModel>[] };
  }
>;
