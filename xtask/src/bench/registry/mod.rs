//! `tare registry serve` beside docker-registry: what a request and a gigabyte cost, and what a thousand
//! clients at once do to the memory.
//!
//! The servers take turns in every round; each has a directory of its own. What counts is the processor time of
//! the server, in user and in system mode; the clients are threads of this program. Beside an upload stands its
//! floor: what it takes one thread to receive, hash and write it.

mod floor;
mod load;
mod server;

use super::options::Options;
use floor::Depth;
use load::{Client, Content};
use server::Server;

/// Requests for a manifest in a round.
const MANIFESTS: usize = 20_000;
/// Connections that they come over.
const CONNECTIONS: usize = 8;
/// A large layer.
const BLOB_BYTES: usize = 256 << 20;
/// How often it is downloaded and uploaded in a round.
const TRANSFERS: usize = 4;
/// Connections of the test of memory.
const CROWD: usize = 1000;
/// What each of them transfers.
const CROWD_BYTES: usize = 1 << 20;
/// A piece of an upload in chunks.
const CHUNK_BYTES: usize = 8 << 20;

/// The row that has a floor.
const PUT: &str = "blob PUT, CPU s/GB";
/// What is measured, and how many decimals it has.
const ROWS: [(&str, usize); 10] = [
    ("manifest GET, CPU ms", 3),
    ("manifest GET, per second", 0),
    ("blob GET, CPU s/GB", 2),
    ("blob GET, MB/s over 4 connections", 0),
    (PUT, 2),
    ("blob PUT, MB/s over one connection", 0),
    ("blob PUT in chunks of 8 MiB, CPU s/GB", 2),
    ("memory without clients, MiB", 1),
    ("peak with 1,000 downloads at once, MiB", 1),
    ("peak with 1,000 uploads at once, MiB", 1),
];

/// Builds, measures and prints.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let program =
        options.program.clone().map_or_else(|| crate::suite::program("tare", None), Ok)?;
    let mut names = vec!["tare"];
    names.extend(super::is_installed("docker-registry").then_some("docker-registry"));
    names.retain(|name| options.wants(name));
    let mut results: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); ROWS.len()]; names.len()];
    let mut floors: [Vec<f64>; 3] = Default::default();
    let mut content = Content::new(BLOB_BYTES);
    for round in 0..options.rounds {
        for (floor, depth) in
            floors.iter_mut().zip([Depth::Received, Depth::Hashed, Depth::Written])
        {
            floor.push(measure_floor(&mut content, depth)?);
        }
        for (index, name) in names.iter().enumerate() {
            let server = match *name {
                "tare" => Server::tare(&program)?,
                _ => Server::docker_registry()?,
            };
            crate::say(&format!("bench: round {} of {}, {name}\n", round + 1, options.rounds));
            let figures =
                measure(&server, &mut content).map_err(|error| format!("{name}: {error}"))?;
            for (row, figure) in figures.into_iter().enumerate() {
                results[index][row].push(figure);
            }
        }
    }
    print(&names, &results, &floors);
    Ok(())
}

/// CPU s/GB.
fn measure_floor(content: &mut Content, depth: Depth) -> Result<f64, String> {
    let dir = server::directory()?;
    let uploads = (0..TRANSFERS).map(|_| floor::upload(content, BLOB_BYTES, depth, &dir));
    let seconds: Result<f64, String> = uploads.sum();
    let _ = std::fs::remove_dir_all(&dir);
    Ok(seconds? / ((BLOB_BYTES * TRANSFERS) as f64 / 1e9))
}

fn print(names: &[&str], results: &[Vec<Vec<f64>>], floors: &[Vec<f64>; 3]) {
    let median = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let ratio = if names.len() == 2 { " ratio |" } else { "" };
    crate::print(&format!(
        "| | {} |{ratio} / floor |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len() + ratio.len().min(1) + 1)
    ));
    let [received, hashed, written] = floors.each_ref().map(|floor| median(floor));
    for (row, (title, decimals)) in ROWS.iter().enumerate() {
        let figures: Vec<f64> = results.iter().map(|tool| median(&tool[row])).collect();
        let cells: Vec<String> = figures.iter().map(|it| format!("{it:.decimals$}")).collect();
        let ratio = match figures[..] {
            [own, other] => format!(" {:.2} |", own / other),
            _ => String::new(),
        };
        let floor = match (*title == PUT, figures.first()) {
            (true, Some(own)) => format!("{:.2}", own / written),
            _ => "-".into(),
        };
        crate::print(&format!("| {title} | {} |{ratio} {floor} |\n", cells.join(" | ")));
    }
    crate::print(&format!(
        "\nThe floor of a PUT, CPU s/GB: {written:.2}; to receive it {received:.2}, to hash it {:.2}, to write it {:.2}\n",
        hashed - received,
        written - hashed
    ));
}

/// One round with one server: a figure for each row.
fn measure(server: &Server, content: &mut Content) -> Result<Vec<f64>, String> {
    let mut figures = Vec::new();
    let mut client = Client::connect(&server.address)?;
    let small = content.fresh(CROWD_BYTES);
    let small_digest = client.put_blob(small.0, small.1)?;
    client.put_manifest(&small_digest, CROWD_BYTES)?;
    let idle_mib = server.memory_mib()?;

    let (cpu, wall) =
        server.measure(|| load::get_manifests(&server.address, MANIFESTS, CONNECTIONS))?;
    figures.push(cpu * 1e3 / MANIFESTS as f64);
    figures.push(MANIFESTS as f64 / wall);

    let gigabytes = (BLOB_BYTES * TRANSFERS) as f64 / 1e9;
    let large = content.fresh(BLOB_BYTES);
    let large_digest = client.put_blob(large.0, large.1)?;
    let (cpu, wall) = server
        .measure(|| load::get_blobs(&server.address, &large_digest, BLOB_BYTES, TRANSFERS))?;
    figures.push(cpu / gigabytes);
    figures.push(gigabytes * 1e3 / wall);

    let (mut put, mut put_wall, mut chunked) = (0.0, 0.0, 0.0);
    for _ in 0..TRANSFERS {
        let (bytes, digest) = content.fresh(BLOB_BYTES);
        let (cpu, wall) = server.measure(|| client.put_blob(bytes, digest).map(drop))?;
        (put, put_wall) = (put + cpu, put_wall + wall);
        let (bytes, digest) = content.fresh(BLOB_BYTES);
        chunked += server.measure(|| client.put_chunks(bytes, digest, CHUNK_BYTES))?.0;
    }
    figures.extend([put / gigabytes, gigabytes * 1e3 / put_wall, chunked / gigabytes, idle_mib]);

    server.forget_peak()?;
    load::crowd_downloads(&server.address, &large_digest, CROWD, CROWD_BYTES)?;
    figures.push(server.peak_mib()?);
    server.forget_peak()?;
    load::crowd_uploads(&server.address, content, CROWD, CROWD_BYTES)?;
    figures.push(server.peak_mib()?);
    Ok(figures)
}
