// Package metrics holds the agent's Prometheus collectors.
//
// Names follow Prometheus' conventions (base units, _total for counters); the
// labels are the closed lists of package run, so that no label can grow
// without bound. An agent makes one Metrics and passes it to the controller.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/runnerml/runner/internal/run"
)

// Metrics are the collectors of one agent. Safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	submitted     prometheus.Counter
	ended         *prometheus.CounterVec
	restarts      *prometheus.CounterVec
	queueWait     prometheus.Histogram
	preparation   prometheus.Histogram
	environment   *prometheus.HistogramVec
	duration      *prometheus.HistogramVec
	snapshotBytes prometheus.Histogram
}

// Buckets in seconds: from a warm start to a long night.
var (
	shortBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	longBuckets  = []float64{.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600, 168 * 3600}
)

// New makes the collectors. counts says how many runs are in each state now;
// it is called at each scrape.
func New(counts func() map[run.State]int) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		submitted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runner_runs_submitted_total", Help: "Runs accepted by this agent.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runner_runs_ended_total", Help: "Runs that ended, by outcome.",
		}, []string{"outcome"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runner_restarts_total", Help: "Attempts that were followed by another, by the outcome that caused it.",
		}, []string{"reason"}),
		queueWait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runner_queue_wait_seconds", Help: "Time from queued to a slot, per attempt.", Buckets: shortBuckets,
		}),
		preparation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runner_preparation_duration_seconds", Help: "Time to make source and environment ready, per attempt.", Buckets: shortBuckets,
		}),
		environment: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "runner_environment_build_duration_seconds", Help: "Time to make an environment that was not there, by kind.", Buckets: shortBuckets,
		}, []string{"kind"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "runner_run_duration_seconds", Help: "Time from a run's submission to its end, by outcome.", Buckets: longBuckets,
		}, []string{"outcome"}),
		snapshotBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "runner_snapshot_bytes", Help: "Size of the snapshots of submitted runs.",
			Buckets: prometheus.ExponentialBuckets(1024, 8, 8),
		}),
	}
	for _, o := range run.Outcomes() { // every series is there from the start, at zero
		m.ended.WithLabelValues(string(o))
		if o.Meaning().Budget != run.NoBudget {
			m.restarts.WithLabelValues(string(o))
		}
	}
	m.registry.MustRegister(
		m.submitted, m.ended, m.restarts, m.queueWait, m.preparation, m.environment, m.duration, m.snapshotBytes,
		&stateCollector{counts: counts, desc: prometheus.NewDesc("runner_runs", "Runs known to this agent, by state.", []string{"state"}, nil)},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler serves the collectors in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Submitted counts a new run and the size of its snapshot in bytes.
func (m *Metrics) Submitted(snapshotBytes int64) {
	m.submitted.Inc()
	m.snapshotBytes.Observe(float64(snapshotBytes))
}

// Granted records how long an attempt waited for its slot.
func (m *Metrics) Granted(waited time.Duration) { m.queueWait.Observe(waited.Seconds()) }

// Prepared records how long an attempt's preparation took.
func (m *Metrics) Prepared(took time.Duration) { m.preparation.Observe(took.Seconds()) }

// EnvironmentMade records the making of an environment of some kind.
func (m *Metrics) EnvironmentMade(kind string, took time.Duration) {
	m.environment.WithLabelValues(kind).Observe(took.Seconds())
}

// Restarted counts an attempt that another one follows.
func (m *Metrics) Restarted(reason run.Outcome) { m.restarts.WithLabelValues(string(reason)).Inc() }

// Ended counts the end of a run that took so long since its submission.
func (m *Metrics) Ended(outcome run.Outcome, took time.Duration) {
	m.ended.WithLabelValues(string(outcome)).Inc()
	m.duration.WithLabelValues(string(outcome)).Observe(took.Seconds())
}

type stateCollector struct {
	counts func() map[run.State]int
	desc   *prometheus.Desc
}

func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.counts()
	for _, s := range run.States {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(now[s]), string(s))
	}
}
