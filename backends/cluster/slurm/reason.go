package slurm

import "strings"

// reason says in words why a job is in a state; Slurm's own word follows.
func reason(word, why string) string {
	if why == "None" || why == "(null)" {
		why = ""
	}
	first, _, _ := strings.Cut(why, ",")
	switch word {
	case "PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD":
		return with(pendingWords(first), why)
	case "CONFIGURING":
		return "its nodes are being started (CONFIGURING)"
	case "SUSPENDED", "STOPPED":
		return with("suspended by Slurm", word)
	case "PREEMPTED":
		return "Slurm took its nodes for a job that goes first (PREEMPTED)"
	case "NODE_FAIL":
		return "one of its nodes failed (NODE_FAIL)"
	case "BOOT_FAIL":
		return "one of its nodes did not start (BOOT_FAIL)"
	case "OUT_OF_MEMORY":
		return "it used more memory than it was given (OUT_OF_MEMORY)"
	case "TIMEOUT":
		return "its time limit in Slurm was over (TIMEOUT)"
	case "DEADLINE":
		return "its deadline in Slurm was over (DEADLINE)"
	case "CANCELLED":
		return with("canceled in Slurm, with scancel or by an administrator", "CANCELLED")
	default:
		return why
	}
}

// starting tells of nodes that were switched off; list is how Slurm writes them.
func starting(nodes []string, list string) string {
	if len(nodes) == 1 {
		return "node " + nodes[0] + " is being started by Slurm"
	}
	return "waits until Slurm has started all of its nodes " + list
}

func with(words, own string) string {
	if own == "" {
		return words
	}
	return words + " (" + own + ")"
}

// pendingWords say why a job waits.
func pendingWords(why string) string {
	switch {
	case why == "":
		return "Slurm has not looked at it yet"
	case why == "Priority":
		return "others go first"
	case why == "Resources":
		return "waits for free nodes"
	case why == "JobHeldUser":
		return "held by its user: scontrol release lets it go"
	case why == "JobHeldAdmin":
		return "held by an administrator"
	case why == "ReqNodeNotAvail":
		return "nodes that it needs are down, drained or reserved"
	case why == "PartitionDown", why == "PartitionInactive":
		return "its partition is down"
	case why == "PartitionNodeLimit":
		return "asks for more nodes than its partition gives"
	case why == "PartitionTimeLimit":
		return "asks for more time than its partition gives"
	case why == "BadConstraints":
		return "no node can ever satisfy what it asks for"
	case why == "Reservation":
		return "waits for its reservation"
	case why == "Licenses":
		return "waits for licenses"
	case why == "BeginTime":
		return "waits for its begin time"
	case why == "Dependency", why == "DependencyNeverSatisfied":
		return "waits for another job"
	case strings.HasPrefix(why, "QOS"):
		return "a limit of its QOS is reached"
	case strings.HasPrefix(why, "Assoc"), strings.HasPrefix(why, "InvalidAccount"):
		return "a limit of its account is reached"
	case strings.Contains(why, "DOWN"), strings.Contains(why, "DRAINED"):
		return "nodes that it needs are down, drained or reserved"
	case strings.Contains(why, "launch failed"), strings.HasPrefix(why, "JobHoldMaxRequeue"):
		return "Slurm could not start it and holds it"
	default:
		return "waits"
	}
}
