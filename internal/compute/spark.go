package compute

// SparkConfig is what a Spark is beyond the machine that has spark-submit.
type SparkConfig struct {
	// Master is yarn, spark://HOST:PORT, local or local[N].
	Master string `json:"master"`
	// DeployMode is client or cluster.
	DeployMode string `json:"deploy_mode"`
	// Submit is spark-submit's path; empty: it is looked for.
	Submit string `json:"spark_submit,omitempty"`
	// HadoopConf is the directory of the cluster's configuration; empty: that of
	// whoever logs in there.
	HadoopConf string `json:"hadoop_conf,omitempty"`
	// MaxInFlight is how many applications are submitted at once at most.
	MaxInFlight int `json:"max_in_flight"`
}

// The most applications at once, when nobody says otherwise: each has a JVM on the
// machine with spark-submit, and in client mode its driver, too.
const (
	DefaultSparkInCluster = 50
	DefaultSparkInClient  = 8
	DefaultSparkLocal     = 2
)
