# Starts the script of a Spark run, with its arguments as they were given: they do
# not pass through spark-submit and the JVM, which change some. In the cluster it
# also makes the surroundings that a script finds everywhere else (a fresh copy of
# the source as working directory, outputs/ and logs/, its variables) and brings
# outputs/ and logs/ to where they are fetched from. The script then runs as this
# very module, in which nothing of ours is left.


def _runner_begin():
    import atexit
    import json
    import os
    import shutil
    import sys

    def bring(home):
        """Copies outputs/ and logs/ to the cluster's file system, through Spark's own JVM."""
        from pyspark import SparkContext
        from pyspark.java_gateway import launch_gateway

        jvm = (SparkContext._gateway or launch_gateway()).jvm
        path = jvm.org.apache.hadoop.fs.Path
        files = path(home).getFileSystem(jvm.org.apache.hadoop.conf.Configuration())
        files.mkdirs(path(home))
        for name in ("outputs", "logs"):
            if not os.path.isdir(name) or not os.listdir(name):
                continue
            half, whole = path(home + "/" + name + ".half"), path(home + "/" + name)
            files.delete(half, True)
            files.copyFromLocalFile(False, True, path("file://" + os.path.abspath(name)), half)
            files.delete(whole, True)
            if not files.rename(half, whole):
                raise RuntimeError("cannot rename " + str(half))

    def bring_home(work, home):
        try:
            os.chdir(work)
            bring(home)
        except BaseException as e:  # the script's own end is what counts
            print("runner: outputs/ and logs/ could not be kept in %s: %s" % (home, e), file=sys.stderr)

    # In the cluster the file lies beside; elsewhere a variable names it.
    config = os.environ.pop("RUNNER_SPARK_DRIVER", "") or "runner-driver.json"
    with open(config, encoding="utf-8") as f:
        told = json.load(f)
    if told.get("pid_file"):
        with open(told["pid_file"] + ".half", "w") as f:
            f.write(str(os.getpid()))
        os.rename(told["pid_file"] + ".half", told["pid_file"])
    os.environ.update(told.get("variables") or {})
    if told.get("home"):
        os.remove(config)  # it may hold secrets
        work = os.path.abspath("work")
        if os.path.isdir("source"):
            shutil.copytree(os.path.realpath("source"), work, symlinks=True)
        for name in ("", "outputs", "logs"):
            os.makedirs(os.path.join(work, name), exist_ok=True)
        os.environ["RUNNER_OUTPUTS_DIR"] = os.path.join(work, "outputs")
        os.chdir(work)
        atexit.register(bring_home, work, told["home"])
    script = os.path.abspath(told["script"])
    sys.argv = [told["script"]] + (told.get("arguments") or [])
    sys.path[0] = os.path.dirname(script)
    with open(script, "rb") as f:
        code = compile(f.read(), script, "exec", dont_inherit=True)
    del globals()["_runner_begin"]
    globals()["__file__"] = script
    return code


exec(_runner_begin())
