//! Messages: to standard error, and to the file that `--log` names, as text or JSON lines.

use alloc::format;
use alloc::string::String;
use oci::json::Object;
use runtime::error::Error;
use sys::{BorrowedFd, CWD, Fd, fs};

/// The log's descriptor is at least this one, unless the limit of open files is lower.
const HIGH: i32 = 200;

/// Where messages go.
pub struct Log {
    /// The program's name.
    name: &'static str,
    file: Option<Fd>,
    json: bool,
    debug: bool,
}

impl Log {
    /// A log to standard error.
    pub const fn new(name: &'static str) -> Self {
        Self { name, file: None, json: false, debug: false }
    }

    /// Opens the log.
    pub fn open(
        name: &'static str,
        path: Option<&str>,
        format: Option<&str>,
        debug: bool,
    ) -> Result<Self, Error> {
        let json = match format {
            None | Some("text" | "") => false,
            Some("json") => true,
            Some(other) => {
                let what = format!("unknown log-format {other:?}, expected text or json");
                return Err(Error::invalid(what));
            }
        };
        let open = |path: &str| {
            let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_APPEND;
            fs::open_at(CWD, path, flags, 0o644)
                .map_err(|errno| Error::os(format!("opening the log {path}"), errno))
        };
        let file = path.filter(|path| !path.is_empty()).map(open).transpose()?;
        // Out of the way of descriptors that are handed on by number.
        let file = file.map(|file| fs::duplicate(&file, HIGH).unwrap_or(file));
        Ok(Self { name, file, json, debug })
    }

    /// Closes what the caller left open behind descriptor `first - 1`, but for the log. A container
    /// that waits for `start` would keep it open: a pipe whose reader waits for its end, a lock.
    pub fn close_others(&self, first: u32) {
        // Before Linux 5.9 they stay open until the program is executed.
        match self.file.as_ref().map(|file| file.raw() as u32) {
            Some(log) if log >= first => {
                let _ = fs::close_range(log + 1, u32::MAX);
                if log > first {
                    let _ = fs::close_range(first, log - 1);
                }
            }
            _ => drop(fs::close_range(first, u32::MAX)),
        }
    }

    /// Says that something failed; returns the exit code.
    pub fn fail(&self, error: &Error, code: i32) -> i32 {
        let message = match error.hint() {
            Some(hint) => format!("{error} (hint: {hint})"),
            None => format!("{error}"),
        };
        self.write("error", &message);
        if self.file.is_some() {
            // Callers read the log; whoever stands at the terminal sees it too.
            self.stderr(&self.line("error", &format!("{error}")));
            if let Some(hint) = error.hint() {
                self.stderr(&format!("hint: {hint}\n"));
            }
        }
        code
    }

    /// Says that a container's program could not be executed: in the words that the program would
    /// have said it in, were it a shell's; callers compare them.
    pub fn program_failed(&self, error: &Error, code: i32) -> i32 {
        match &self.file {
            Some(_) => self.fail(error, code),
            None => {
                self.stderr(&format!("{error}\n"));
                code
            }
        }
    }

    /// Whether somebody looks for a fault.
    pub fn debugs(&self) -> bool {
        self.debug
    }

    /// Says something that the user should know although all went well.
    pub fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// Says something for whoever looks for a fault.
    pub fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let time = runtime::state::format_time(sys::time::now());
        // Seconds are what runc writes.
        let time = format!("{}Z", time.split('.').next().unwrap_or(""));
        let line = match self.json {
            true => {
                let record = Object(&[("level", &level), ("msg", &message), ("time", &time)]);
                oci::json::write(&record) + "\n"
            }
            false if self.file.is_some() || level == "debug" => {
                format!("time={time:?} level={level} msg={message:?}\n")
            }
            false => self.line(level, message),
        };
        match &self.file {
            // With a full disk there is nowhere left to say so.
            Some(file) => drop(fs::write_all(file, line.as_bytes())),
            None => self.stderr(&line),
        }
    }

    /// What a line for people begins with: a sentence that names the program needs nothing more.
    fn line(&self, level: &str, message: &str) -> String {
        match message.strip_prefix(self.name) {
            Some(rest) if rest.starts_with(' ') => format!("{message}\n"),
            _ => format!("{}: {level}: {message}\n", self.name),
        }
    }

    fn stderr(&self, text: &str) {
        let _ = fs::write_all(BorrowedFd::from_raw(2), text.as_bytes());
    }
}

/// Writes data to standard output.
pub fn print(text: &str) -> Result<(), Error> {
    fs::write_all(BorrowedFd::from_raw(1), text.as_bytes())
        .map_err(|errno| Error::os("writing to standard output", errno))
}

/// A line of data on standard output.
pub fn print_line(mut text: String) -> Result<(), Error> {
    text.push('\n');
    print(&text)
}
