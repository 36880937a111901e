package runconfig_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/runconfig"
)

// What Azure ML v1's files say of Spark is what our own fields say.
func TestAzureMLSpark(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       *runconfig.Spark
	}{
		{"the word alone", "framework: PySpark\n", &runconfig.Spark{}},
		{"Python", "framework: Python\n", nil},
		{"the deploy mode", "framework: pyspark\nhdi: {yarn_deploy_mode: cluster}\n", &runconfig.Spark{DeployMode: "cluster"}},
		{"the deploy mode of our own", "kind: spark\nhdi: {yarn_deploy_mode: client}\n", &runconfig.Spark{DeployMode: "client"}},
		{
			"a configuration",
			"framework: PySpark\nspark: {configuration: {spark.yarn.maxAppAttempts: 1, spark.executor.memory: 4g, spark.driver.memory: 512, spark.executor.cores: 2, spark.executor.instances: 3, spark.x: y}}\n",
			&runconfig.Spark{
				Configuration:  map[string]string{"spark.yarn.maxAppAttempts": "1", "spark.x": "y"},
				ExecutorMemory: 4 << 30, DriverMemory: 512 << 20, ExecutorCores: 2, ExecutorInstances: 3,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := runconfig.Parse(filepath.Join(t.TempDir(), "job.yaml"), []byte("script: train.py\n"+c.text), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Spark); diff != "" {
				t.Error(diff)
			}
			if got.Framework != "" || got.HDI != nil || (got.Kind == runconfig.KindSpark) != (c.want != nil) {
				t.Errorf("framework %q, hdi %v, kind %q", got.Framework, got.HDI, got.Kind)
			}
		})
	}
}
