//! What is printed.

use super::{Bench, FLOORS, PACK};

impl Bench {
    pub(super) fn print(&self) {
        let heads = self.tools.iter().map(|tool| format!(" {tool}: wall ms, CPU ms, MiB |"));
        let others: Vec<&str> = self.tools[1..].to_vec();
        let ratios = others.iter().map(|tool| format!(" wall / {tool} |")).collect::<String>();
        crate::print(&format!("\n| |{}{ratios}\n", heads.collect::<String>()));
        let columns = 1 + self.tools.len() + others.len();
        crate::print(&format!("|{}\n", "---|".repeat(columns)));
        let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
        for (row, what) in self.rows.iter().enumerate() {
            let wall = |tool| self.samples.figure(row, tool, |it| it.wall_us);
            let mut line = format!("| {} |", what.name);
            for tool in 0..self.tools.len() {
                let cpu = self.samples.figure(row, tool, |it| it.cpu_us);
                let peak = self.samples.figure(row, tool, |it| it.peak_kib);
                line.push_str(&match (wall(tool), cpu, peak) {
                    (Some(wall), Some(cpu), Some(peak)) => {
                        format!(" {}, {}, {} |", ms(wall.0), ms(cpu.0), peak.0 >> 10)
                    }
                    _ => " - |".to_owned(),
                });
            }
            for tool in 1..self.tools.len() {
                line.push_str(&match (wall(0), wall(tool)) {
                    (Some(own), Some(other)) => {
                        format!(" {:.2} |", own.0 as f64 / other.0.max(1) as f64)
                    }
                    _ => " - |".to_owned(),
                });
            }
            crate::print(&format!("{line}\n"));
        }
        for ((row, tool), bytes) in &self.sizes {
            let (name, tool) = (&self.rows[*row].name, self.tools[*tool]);
            crate::print(&format!("\n{name} by {tool}: {:.1} MB", *bytes as f64 / 1e6));
        }
        for (number, format) in ["gzip", "zstd"].into_iter().enumerate() {
            let mut sum = 0;
            let mut parts = Vec::new();
            for (floor, name) in FLOORS.iter().enumerate() {
                let row = self.rows.len() + number * FLOORS.len() + floor;
                if let Some((cpu, _)) = self.samples.figure(row, 0, |it| it.cpu_us) {
                    sum += cpu;
                    parts.push(format!("{name} {}", ms(cpu)));
                }
            }
            let own = self.samples.figure(number, 0, |it| it.cpu_us).map_or(0, |it| it.0);
            crate::print(&format!(
                "\npull {format}: CPU {} ms is {:.2} x the sum of its parts alone, {} ms: {}\n",
                ms(own),
                own as f64 / sum.max(1) as f64,
                ms(sum),
                parts.join(", ")
            ));
        }
        let bare = self.samples.figure(self.rows.len() + PACK, 0, |it| it.wall_us);
        let own = self.rows.iter().position(|row| row.name == "push zstd");
        let own = own.and_then(|row| self.samples.figure(row, 0, |it| it.wall_us));
        if let (Some((own, _)), Some((bare, _))) = (own, bare) {
            crate::print(&format!(
                "\npush zstd: {} ms is {:.2} x the bare compressor's {} ms\n",
                ms(own),
                own as f64 / bare.max(1) as f64,
                ms(bare)
            ));
        }
    }
}
