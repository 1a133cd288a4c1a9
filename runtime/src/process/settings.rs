//! What may be set for a process agent, and the command line that follows from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use genii_protocols::TimeSpan;
use genii_supervision::StartError;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as JsonValue;

/// How long one look at a process may take.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What may be set for a process agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessSettings {
    /// A script, run by `interpreter`; relative to `root`.
    pub script: Option<PathBuf>,
    /// What runs the script; `python3` if it does not say.
    pub interpreter: Option<String>,
    /// Any command, with its arguments, instead of a script.
    pub command: Vec<String>,
    /// Arguments `--key=value`, in order.
    pub args: serde_json::Map<String, JsonValue>,
    /// The port it serves on; passed to a script as `--port`.
    pub port: Option<u16>,
    /// The port on which it answers health checks; passed to a script as
    /// `--health_check_port`.
    pub health_port: Option<u16>,
    /// What it calls itself; passed to a script as `--name`.
    pub name: Option<String>,
    /// Where scripts are found; the working directory of genii if it does not say.
    pub root: Option<PathBuf>,
    /// Where it runs; `root` if it does not say.
    pub directory: Option<PathBuf>,
    /// Folders for `PYTHONPATH`, before what is there already.
    pub python_path: Vec<PathBuf>,
    /// Environment variables, beside those that genii has.
    pub env: BTreeMap<String, String>,
    /// Whether it sees the environment variables that genii has.
    pub inherit_env: Option<bool>,
    /// How to tell that it is ready; it is at once if it does not say.
    pub ready: Option<Probe>,
    /// How to tell that it is well.
    pub live: Option<Liveness>,
    /// How much of the machine it may use.
    pub limits: ResourceLimits,
}

/// A look at a process from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// A ZeroMQ request `{"action":"health_check"}` whose answer's `status` is one of ok, ready,
    /// healthy and HEALTHY. A port on this machine, or `host:port`.
    Zmq(Endpoint),
    /// An HTTP request that is answered with a status of 200 to 299.
    Http(String),
    /// A connection that is accepted. A port on this machine, or `host:port`.
    Tcp(Endpoint),
    /// A line of its output that contains a text. To be well, it must print one at least that
    /// often.
    Line {
        /// The text.
        contains: String,
        /// How old the last such line may be; any age if it does not say.
        #[serde(default)]
        within: Option<TimeSpan>,
    },
    /// A command that ends with code zero.
    Command(Vec<String>),
}

/// A port on this machine, or a host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Endpoint {
    /// A port on this machine.
    Port(u16),
    /// `host:port`.
    HostPort(String),
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = JsonValue::deserialize(deserializer)?;
        let port = || value.as_u64().and_then(|port| u16::try_from(port).ok());
        match &value {
            JsonValue::String(text) => Ok(Self::HostPort(text.clone())),
            _ => port().map(Self::Port).ok_or_else(|| {
                D::Error::custom(format!(
                    "{value} is no port; write one up to 65535, or \"host:port\""
                ))
            }),
        }
    }
}

impl Endpoint {
    /// `host:port`.
    pub fn host_port(&self) -> String {
        match self {
            Self::Port(port) => format!("127.0.0.1:{port}"),
            Self::HostPort(text) => text.clone(),
        }
    }
}

/// How to tell that a process is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Liveness {
    /// How to look; as for being ready if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// How often to look.
    pub every: TimeSpan,
    /// How long a look may take.
    pub timeout: TimeSpan,
    /// After so many failed looks in a row it is restarted.
    pub failures: u32,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            probe: None,
            every: TimeSpan::from_secs(30),
            timeout: TimeSpan(PROBE_TIMEOUT),
            failures: 3,
        }
    }
}

/// How much of the machine a process may use. Each process it starts has the same limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceLimits {
    /// Address space in MiB; a request for more fails.
    pub memory_mb: Option<u64>,
    /// Processor time; it is killed when it has used so much.
    pub cpu_time: Option<TimeSpan>,
    /// Open files; opening more fails.
    pub open_files: Option<u64>,
}

/// What is run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
}

impl ProcessSettings {
    /// What is wrong with the settings, beyond what their types say.
    pub fn fault(&self) -> Option<String> {
        match (&self.script, self.command.is_empty()) {
            (None, true) => return Some("it has neither a script nor a command".into()),
            (Some(_), false) => {
                return Some("it has both a script and a command; one must go".into());
            }
            _ => {}
        }
        if self.command.first().is_some_and(String::is_empty) {
            return Some("the command is empty".into());
        }
        let nested = |(key, value): (&String, &JsonValue)| {
            let simple = matches!(
                value,
                JsonValue::String(_) | JsonValue::Number(_) | JsonValue::Bool(_) | JsonValue::Null
            );
            (!simple)
                .then(|| format!("argument {key} is a list or a table, which cannot be passed"))
        };
        if let Some(fault) = self.unspeakable() {
            return Some(fault);
        }
        let args = || self.args.iter().find_map(nested);
        args()
            .or_else(|| self.probes().find_map(Probe::fault))
            .or_else(|| self.liveness_fault())
            .or_else(|| self.limits.fault())
            .or_else(|| self.zero_port())
    }

    fn zero_port(&self) -> Option<String> {
        let (_, name) = self.ports().into_iter().find(|(port, _)| *port == 0)?;
        Some(format!("its {name} is 0, which is no port"))
    }

    /// What the system cannot pass to a process.
    fn unspeakable(&self) -> Option<String> {
        let texts = self.command.iter().chain(self.env.values()).chain(self.env.keys());
        let args = self.args.iter().flat_map(|(key, value)| [Some(key.as_str()), value.as_str()]);
        let mut texts = texts.map(String::as_str).chain(args.flatten());
        if let Some(text) = texts.find(|text| text.contains('\0')) {
            return Some(format!("{text:?} holds a zero byte, which cannot be passed"));
        }
        let bad = self.env.keys().find(|name| name.is_empty() || name.contains('='))?;
        Some(format!("{bad:?} is no name for an environment variable"))
    }

    /// The ports of this machine on which it is to answer health checks.
    pub(super) fn probed_ports(&self) -> impl Iterator<Item = u16> {
        self.probes().filter_map(|probe| match probe {
            Probe::Zmq(Endpoint::Port(port)) | Probe::Tcp(Endpoint::Port(port)) => Some(*port),
            _ => None,
        })
    }

    fn liveness_fault(&self) -> Option<String> {
        let live = self.live.as_ref()?;
        let fault = match live {
            Liveness { probe: None, .. } if self.ready.is_none() => {
                "`live` does not say how to look; give it a probe, or set `ready`"
            }
            Liveness { every, .. } if every.0.is_zero() => "`live.every` must be more than nothing",
            Liveness { timeout, .. } if timeout.0.is_zero() => {
                "`live.timeout` must be more than nothing"
            }
            Liveness { failures: 0, .. } => "`live.failures` must be at least 1",
            _ => return None,
        };
        Some(fault.to_owned())
    }

    /// The ports it opens.
    pub fn ports(&self) -> Vec<(u16, &'static str)> {
        let port = self.port.map(|port| (port, "port"));
        let health = self.health_port.map(|port| (port, "health port"));
        port.into_iter().chain(health).collect()
    }

    /// What keeps it from starting on this machine, if anything does.
    pub fn obstacle(&self) -> Option<String> {
        self.command().err().map(|error| error.to_string())
    }

    fn probes(&self) -> impl Iterator<Item = &Probe> {
        let live = self.live.as_ref().and_then(|live| live.probe.as_ref());
        self.ready.iter().chain(live)
    }

    /// What is to be run.
    ///
    /// # Errors
    /// When its script or its directory is not there: refused, since trying again cannot help.
    pub fn command(&self) -> Result<Command, StartError> {
        if let Some(fault) = self.fault() {
            return Err(StartError::refused(fault));
        }
        let mut words = match self.script_path() {
            None => self.command.clone(),
            Some(script) if script.is_dir() => {
                return Err(StartError::refused(format!(
                    "its script {} is a folder; name a file in it",
                    script.display()
                )));
            }
            Some(script) if script.is_file() => {
                let interpreter = self.interpreter.clone().unwrap_or_else(|| "python3".into());
                vec![interpreter, script.to_string_lossy().into_owned()]
            }
            Some(script) => {
                return Err(StartError::refused(format!(
                    "its script {} does not exist; put it there, or set `root` to where it is",
                    script.display()
                )));
            }
        };
        words.extend(self.arguments());
        let directory = self.directory();
        if let Some(why) = self.program_missing(&words[0], &directory) {
            return Err(StartError::refused(why));
        }
        let looks = self.probes().filter_map(|probe| match probe {
            Probe::Command(words) => words.first(),
            _ => None,
        });
        for program in looks {
            if let Some(why) = self.program_missing(program, &directory) {
                return Err(StartError::refused(format!("its health check: {why}")));
            }
        }
        if !directory.is_dir() {
            let message = format!("its directory {} does not exist", directory.display());
            return Err(StartError::refused(message));
        }
        Ok(Command { words, directory })
    }

    /// Why its program cannot be found, if it cannot.
    fn program_missing(&self, program: &str, directory: &Path) -> Option<String> {
        if program.contains('/') {
            let path = directory.join(program);
            return (!is_program(&path)).then(|| {
                format!("its program {} is not there, or may not be run", path.display())
            });
        }
        let own = self.env.get("PATH").map(Into::into);
        let path =
            own.or_else(|| std::env::var_os("PATH").filter(|_| self.inherit_env != Some(false)))?;
        let is_found = std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)));
        (!is_found).then(|| {
            format!(
                "its program {program} is not on the path; install it, or name it with its folder"
            )
        })
    }

    /// `--key=value` for each argument; then, for a script, the port, the health port and the name.
    fn arguments(&self) -> Vec<String> {
        let value = |value: &JsonValue| match value {
            JsonValue::String(text) => text.clone(),
            // As Python prints them, which is what the scripts were written for.
            JsonValue::Bool(true) => "True".into(),
            JsonValue::Bool(false) => "False".into(),
            JsonValue::Null => "None".into(),
            other => other.to_string(),
        };
        let args = self.args.iter().map(|(key, given)| format!("--{key}={}", value(given)));
        if self.script.is_none() {
            return args.collect();
        }
        let port = self.port.map(|port| format!("--port={port}"));
        let health = self.health_port.map(|port| format!("--health_check_port={port}"));
        let name = self.name.as_ref().map(|name| format!("--name={name}"));
        args.chain(port).chain(health).chain(name).collect()
    }

    /// Where the script is, by `root` and the working directory.
    fn script_path(&self) -> Option<PathBuf> {
        self.script.as_ref().map(|script| absolute(&self.root().join(script)))
    }

    fn root(&self) -> PathBuf {
        absolute(self.root.as_deref().unwrap_or(Path::new(".")))
    }

    /// Where it runs.
    pub(crate) fn directory(&self) -> PathBuf {
        match &self.directory {
            Some(directory) => absolute(&self.root().join(directory)),
            None => self.root(),
        }
    }

    /// The environment it runs in, beside what it inherits.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> =
            self.env.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        if !self.python_path.is_empty() {
            let inherited = self.env.get("PYTHONPATH").cloned();
            let inherited = inherited.or_else(|| {
                std::env::var("PYTHONPATH").ok().filter(|_| self.inherit_env != Some(false))
            });
            let own = self.python_path.iter().map(|path| absolute(&self.root().join(path)));
            let own = own.map(|path| path.to_string_lossy().into_owned());
            let all: Vec<String> = own.chain(inherited.filter(|text| !text.is_empty())).collect();
            variables.retain(|(key, _)| key != "PYTHONPATH");
            variables.push(("PYTHONPATH".into(), all.join(":")));
        }
        variables
    }
}

impl Probe {
    fn fault(&self) -> Option<String> {
        match self {
            Self::Http(url) if url.starts_with("https:") => {
                Some("health checks over https are not supported; use http or a command".into())
            }
            Self::Http(url) if !url.starts_with("http://") => {
                Some(format!("{url:?} is not a URL that begins with http://"))
            }
            Self::Command(words) if words.is_empty() => {
                Some("a health check has no command".into())
            }
            Self::Zmq(Endpoint::HostPort(text)) | Self::Tcp(Endpoint::HostPort(text))
                if text.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) =>
            {
                Some(format!("{text:?} is neither a port nor host:port"))
            }
            Self::Zmq(Endpoint::Port(0)) | Self::Tcp(Endpoint::Port(0)) => {
                Some("a health check asks port 0, which is no port".into())
            }
            Self::Line { contains, .. } if contains.is_empty() => {
                Some("a health check looks for a line that contains nothing".into())
            }
            _ => None,
        }
    }
}

impl ResourceLimits {
    fn fault(&self) -> Option<String> {
        let too_little = |name: &str, least: &str| {
            Some(format!(
                "`limits.{name}` is less than any process can live with: {least} at least"
            ))
        };
        match self {
            Self { memory_mb: Some(0), .. } => too_little("memory_mb", "1"),
            Self { open_files: Some(0..=3), .. } => too_little("open_files", "4"),
            Self { cpu_time: Some(time), .. } if time.0.subsec_nanos() > 0 || time.0.is_zero() => {
                Some("`limits.cpu_time` is counted in whole seconds, at least one".to_owned())
            }
            _ => None,
        }
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let about = std::fs::metadata(path);
    about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(settings: serde_json::Value) -> ProcessSettings {
        serde_json::from_value(settings).unwrap()
    }

    #[test]
    fn a_script_is_run_exactly_as_before() {
        let folder = std::env::temp_dir();
        let script = folder.join("genii-settings-test.py");
        std::fs::write(&script, "").unwrap();
        let settings = read(json!({
            "root": folder, "script": "genii-settings-test.py", "name": "TaskRouter",
            "port": 8571, "health_port": 8572,
            "args": { "queue_max_size": 100, "enable": true, "host": "0.0.0.0", "ratio": 0.85 },
        }));
        let command = settings.command().unwrap();
        assert_eq!(command.words[0], "python3");
        assert_eq!(command.words[1], script.to_string_lossy());
        assert_eq!(
            command.words[2..],
            [
                "--queue_max_size=100",
                "--enable=True",
                "--host=0.0.0.0",
                "--ratio=0.85",
                "--port=8571",
                "--health_check_port=8572",
                "--name=TaskRouter"
            ]
        );
        assert_eq!(command.directory, absolute(&folder));
        std::fs::remove_file(script).unwrap();
    }

    #[test]
    fn a_missing_script_is_a_warning_in_a_plan_and_refused_at_start() {
        let settings = read(json!({ "root": "/nowhere", "script": "x.py" }));
        assert!(settings.fault().is_none());
        assert!(settings.obstacle().unwrap().contains("/nowhere/x.py does not exist"));
        let error = settings.command().unwrap_err();
        assert!(matches!(error, StartError::Refused(_)), "{error}");
        assert!(error.to_string().contains("set `root`"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_refused_before_it_is_run() {
        let obstacle = |settings| read(settings).obstacle();
        assert_eq!(obstacle(json!({ "command": ["sh"] })), None);
        assert_eq!(obstacle(json!({ "command": ["/bin/sh"] })), None);
        let said = obstacle(json!({ "command": ["no-such-program"] })).unwrap();
        assert!(said.contains("no-such-program is not on the path"), "{said}");
        let said = obstacle(json!({ "command": ["./no-such-program"] })).unwrap();
        assert!(said.contains("no-such-program is not there"), "{said}");
        let said = obstacle(json!({ "command": ["sh"], "env": { "PATH": "/nowhere" } })).unwrap();
        assert!(said.contains("sh is not on the path"), "{said}");
    }

    #[test]
    fn a_command_is_run_as_it_stands() {
        let settings = read(json!({
            "command": ["sh", "-c", "true"], "port": 1, "health_port": 2, "name": "X",
            "args": { "k": 1 },
        }));
        assert_eq!(settings.command().unwrap().words, ["sh", "-c", "true", "--k=1"]);
    }

    #[test]
    fn contradictions_are_faults() {
        let fault = |settings| read(settings).fault().unwrap();
        assert!(fault(json!({})).contains("neither a script nor a command"));
        assert!(fault(json!({ "script": "x", "command": ["y"] })).contains("one must go"));
        assert!(fault(json!({ "command": [""] })).contains("empty"));
        assert!(fault(json!({ "command": ["x\0"] })).contains("zero byte"));
        assert!(fault(json!({ "command": ["x"], "env": { "A": "\0" } })).contains("zero byte"));
        assert!(fault(json!({ "command": ["x"], "env": { "A=B": "" } })).contains("A=B"));
        let live = |live| fault(json!({ "command": ["x"], "ready": { "tcp": 1 }, "live": live }));
        assert!(live(json!({ "every": "0s" })).contains("live.every"));
        assert!(live(json!({ "timeout": "0s" })).contains("live.timeout"));
        assert!(live(json!({ "failures": 0 })).contains("live.failures"));
        assert!(fault(json!({ "command": ["x"], "live": {} })).contains("how to look"));
        assert!(fault(json!({ "command": ["x"], "args": { "a": [1] } })).contains("argument a"));
        let probe = |probe| json!({ "command": ["x"], "ready": probe });
        assert!(fault(probe(json!({ "http": "https://x" }))).contains("https"));
        assert!(fault(probe(json!({ "http": "x" }))).contains("not a URL"));
        assert!(fault(probe(json!({ "tcp": "x" }))).contains("neither a port"));
        assert!(fault(probe(json!({ "command": [] }))).contains("no command"));
        assert!(fault(probe(json!({ "tcp": 0 }))).contains("no port"));
        assert!(fault(probe(json!({ "line": { "contains": "" } }))).contains("nothing"));
        assert!(fault(json!({ "command": ["x"], "port": 0 })).contains("no port"));
        let limits = |limits| fault(json!({ "command": ["x"], "limits": limits }));
        assert!(limits(json!({ "memory_mb": 0 })).contains("memory_mb"));
        assert!(limits(json!({ "open_files": 0 })).contains("open_files"));
        assert!(limits(json!({ "cpu_time": "1500ms" })).contains("whole seconds"));
        assert!(serde_json::from_value::<ProcessSettings>(json!({ "comand": [] })).is_err());
    }

    #[test]
    fn probes_are_written_in_short() {
        let ready = |probe| read(json!({ "command": ["x"], "ready": probe })).ready.unwrap();
        assert_eq!(ready(json!({ "zmq": 8120 })), Probe::Zmq(Endpoint::Port(8120)));
        let tcp = ready(json!({ "tcp": "pc2:80" }));
        assert_eq!(tcp, Probe::Tcp(Endpoint::HostPort("pc2:80".into())));
        let line = ready(json!({ "line": { "contains": "listening" } }));
        assert_eq!(line, Probe::Line { contains: "listening".into(), within: None });
    }

    #[test]
    fn the_python_path_is_put_before_what_is_there() {
        let settings = read(json!({
            "command": ["x"], "root": "/r", "python_path": [".", "/abs"],
            "env": { "PYTHONPATH": "/old", "A": "1" },
        }));
        let environment = settings.environment();
        assert!(
            environment.contains(&("PYTHONPATH".into(), "/r:/abs:/old".into())),
            "{environment:?}"
        );
        assert!(environment.contains(&("A".into(), "1".into())));
    }
}
