package runconfig

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/runnerml/runner/internal/yamlpos"
)

// frameworkPySpark is Azure ML v1's word for Spark, which it writes in two ways.
const frameworkPySpark = "pyspark"

// frameworks are the words of framework that a run of ours has.
func frameworks() []string { return []string{frameworkPySpark, "PySpark", "python", "Python"} }

// HDI is Azure ML v1's section of that name.
type HDI struct {
	// YarnDeployMode is spark.deploy_mode.
	YarnDeployMode string `json:"yarn_deploy_mode,omitempty" jsonschema:"enum=client,enum=cluster" yaml:"yarn_deploy_mode,omitempty"`
}

// isPySpark reports whether the spec is Azure ML v1's for Spark.
func (c *ScriptRunConfig) isPySpark() bool { return strings.EqualFold(c.Framework, frameworkPySpark) }

// azureML checks what Azure ML v1 says of Spark.
func (v *checks) azureML(c *ScriptRunConfig) {
	spark := c.isPySpark() || c.Kind == KindSpark || c.Spark != nil
	switch {
	case c.Framework != "" && !slices.Contains(frameworks(), c.Framework):
		hint := yamlpos.DidYouMean(c.Framework, frameworks())
		if slices.Contains(distributedFrameworks(), strings.ToLower(c.Framework)) {
			hint = "distributed.framework names how the processes of a run find each other"
		}
		v.addf("framework", hint, "unknown framework %q", c.Framework)
	case c.Framework != "" && !c.isPySpark() && spark:
		v.addf("framework", "framework: pyspark", "a Spark run's framework is not %s", c.Framework)
	}
	if c.HDI == nil || c.HDI.YarnDeployMode == "" {
		return
	}
	const field = "hdi.yarn_deploy_mode"
	modes := []string{DeployClient, DeployCluster}
	switch mode := c.HDI.YarnDeployMode; {
	case !slices.Contains(modes, mode):
		v.addf(field, yamlpos.DidYouMean(mode, modes), "unknown yarn_deploy_mode %q", mode)
	case !spark:
		v.addf(field, "framework: pyspark", "yarn_deploy_mode is about Spark runs")
	case c.Spark != nil && c.Spark.DeployMode != "" && c.Spark.DeployMode != mode:
		v.addf(field, "leave one of them out", "spark.deploy_mode says %s, and hdi.yarn_deploy_mode %s", c.Spark.DeployMode, mode)
	}
}

// takeAzureML says in our own words what Azure ML v1's say.
func (c *ScriptRunConfig) takeAzureML() {
	if c.isPySpark() {
		if c.Spark == nil {
			c.Spark = &Spark{}
		}
		for _, name := range slices.Sorted(maps.Keys(c.Spark.Configuration)) {
			if taken, _ := c.Spark.take(name, c.Spark.Configuration[name]); taken {
				delete(c.Spark.Configuration, name)
			}
		}
	}
	if c.HDI != nil && c.HDI.YarnDeployMode != "" && c.Spark != nil {
		c.Spark.DeployMode = c.HDI.YarnDeployMode
	}
	c.Framework, c.HDI = "", nil
}

// take takes a property's value over into the field that says the same; false:
// it has none.
func (s *Spark) take(property, value string) (taken bool, err error) {
	switch property {
	case "spark.master":
		s.Master = value
	case "spark.submit.deployMode":
		s.DeployMode = value
	case "spark.driver.cores":
		s.DriverCores, err = strconv.Atoi(value)
	case "spark.driver.memory":
		s.DriverMemory, err = javaBytes(value)
	case "spark.executor.cores":
		s.ExecutorCores, err = strconv.Atoi(value)
	case "spark.executor.memory":
		s.ExecutorMemory, err = javaBytes(value)
	case "spark.executor.instances":
		s.ExecutorInstances, err = strconv.Atoi(value)
	default:
		return false, nil
	}
	return true, err
}

// takes says what is wrong with taking a property over.
func (v *checks) takes(s *Spark, field, property, value string) {
	var alone Spark
	if _, err := alone.take(property, value); err != nil {
		v.addf(field, "", "%q is no value for %s", value, property)
		return
	}
	if s.has(property) {
		v.addf(field, "leave one of them out", "%s and spark.%s say the same thing", property, fieldOf(property))
	}
}

// has reports whether the field of a property says something.
func (s *Spark) has(property string) bool {
	switch property {
	case "spark.master":
		return s.Master != ""
	case "spark.submit.deployMode":
		return s.DeployMode != ""
	case "spark.driver.cores":
		return s.DriverCores != 0
	case "spark.driver.memory":
		return s.DriverMemory != 0
	case "spark.executor.cores":
		return s.ExecutorCores != 0
	case "spark.executor.memory":
		return s.ExecutorMemory != 0
	case "spark.executor.instances":
		return s.ExecutorInstances != 0
	}
	return false
}

var javaSizeForm = regexp.MustCompile(`^([0-9]+)([kmgt]?)b?$`)

// javaBytes reads a size as Spark has it: 4g, 512m; a bare number is in MiB.
func javaBytes(text string) (Bytes, error) {
	m := javaSizeForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return 0, fmt.Errorf("%w: %q", strconv.ErrSyntax, text)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, err
	}
	unit := map[string]int64{"k": 1 << 10, "m": 1 << 20, "": 1 << 20, "g": 1 << 30, "t": 1 << 40}[m[2]]
	if n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%w: %q", strconv.ErrRange, text)
	}
	return Bytes(n * unit), nil
}
