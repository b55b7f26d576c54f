//! `tare copy`.

use super::from_store::FromStore;
use super::packing::{Level, ManifestFormat, Packing};
use super::signing::{EncryptionArgs, SigningArgs};
use super::{now, write_digest};
use crate::failure::{Failure, Result};
use crate::progress::Shown;
use crate::settings::{
    Access, DestinationArgs, Global, RetryArgs, Settings, SourceArgs, open_sink, open_source,
};
use clap::{Args, ValueEnum};
use images::{Copied, CopyOptions, Gate, Instances, Layers, OpenTemporary, PullOptions};
use oci::image::Document;
use std::path::PathBuf;
use store::Store;
use transport::Source;
use transport::place::Place;

/// Copy an image from one place to another
///
/// Places are written as skopeo does: docker://NAME, oci:DIRECTORY:NAME, oci-archive:FILE, docker-archive:FILE,
/// dir:DIRECTORY, docker-daemon:NAME, containers-storage:NAME, and store:NAME for the own store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare copy docker://debian:13 oci:/srv/images:debian\n  \
                        tare copy --all docker://alpine docker://registry.example.com/alpine")]
pub(crate) struct Copy {
    /// Copy the images of all platforms
    #[arg(short, long, conflicts_with = "multi_arch")]
    all: bool,
    /// What is copied of an index
    #[arg(long, value_enum, value_name = "WHICH")]
    multi_arch: Option<MultiArch>,
    /// Another name of the image in a docker-archive: (repeated)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    additional_tag: Vec<String>,
    #[command(flatten)]
    packing: PackingArgs,
    /// Write the digest of the manifest into a file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Format of the manifest [default: the source's, where the destination can hold it]
    #[arg(short, long, value_enum)]
    format: Option<ManifestFormat>,
    /// Fail where a digest would change
    #[arg(long)]
    preserve_digests: bool,
    /// Copy no signatures
    #[arg(long)]
    remove_signatures: bool,
    /// Copy what refers to the image, too: signatures, descriptions, other artifacts
    #[arg(long)]
    with_referrers: bool,
    /// How many layers are copied at once [default: 3]
    #[arg(long, value_name = "NUMBER")]
    image_parallel_copies: Option<usize>,
    /// Tell nothing
    #[arg(short, long)]
    quiet: bool,
    /// File with credentials for both sides
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    #[command(flatten)]
    from: SourceArgs,
    #[command(flatten)]
    to: DestinationArgs,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    encryption: EncryptionArgs,
    /// Where the image is
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where it goes
    #[arg(value_name = "DESTINATION")]
    destination: String,
}

/// How layers are packed at the destination.
#[derive(Debug, Args)]
struct PackingArgs {
    /// Pack layers that are not
    #[arg(long, conflicts_with = "dest_decompress")]
    dest_compress: bool,
    /// Unpack layers
    #[arg(long)]
    dest_decompress: bool,
    /// How layers are packed; those that are packed otherwise are packed anew
    #[arg(long, value_enum, value_name = "FORMAT")]
    dest_compress_format: Option<Packing>,
    /// Its level: gzip 1 to 9, zstd 1 to 20
    #[arg(long, value_name = "NUMBER")]
    dest_compress_level: Option<Level>,
    /// Also where the destination leaves layers as they are
    #[arg(long)]
    dest_force_compress_format: bool,
    /// Leave layers unpacked in a layout
    #[arg(long)]
    dest_oci_accept_uncompressed_layers: bool,
    /// Pack into a temporary file, and send only what the registry has not
    #[arg(long)]
    dest_precompute_digests: bool,
}

/// What is copied of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MultiArch {
    /// The image for this machine
    System,
    /// Everything
    All,
    /// The index alone: its images are there already
    IndexOnly,
}

pub(crate) fn run(global: &Global, arguments: &Copy) -> Result<()> {
    let about = format_args!("copying {} to {}", arguments.source, arguments.destination);
    copy(global, arguments).map_err(|failure| failure.during(about))
}

fn copy(global: &Global, arguments: &Copy) -> Result<()> {
    arguments.signing.refuse()?;
    arguments.encryption.refuse()?;
    let (from, to) = (Place::parse(&arguments.source)?, Place::parse(&arguments.destination)?);
    let settings = Settings::load(global)?;
    let [mut of_source, mut of_destination] =
        [arguments.from.access(&arguments.retry)?, arguments.to.access(&arguments.retry)?];
    for access in [&mut of_source, &mut of_destination] {
        access.companions = arguments.with_referrers;
        access.authfile = access.authfile.take().or_else(|| arguments.authfile.clone());
    }
    let shown = Shown::new(arguments.quiet);
    let gate = settings.gate()?;
    let temporary = || settings.open_temporary();
    let copying = Copying {
        settings: &settings,
        arguments,
        shown: &shown,
        gate: &*gate,
        temporary: &temporary,
    };
    let mut options = copying.options()?;
    let needs_store = [&from, &to].iter().any(|place| matches!(place, Place::Store(_)));
    let store = needs_store.then(|| settings.store(false)).transpose()?;
    let root = match (&from, &to, &store) {
        (Place::Store(name), _, Some(store)) => {
            let image = FromStore::open(&settings, store, name)?;
            match &to {
                Place::Store(name) => copying.bring_in(store, &image.source, &from, name)?,
                _ => copying.send_out(&image, &to, &of_destination, options)?,
            }
        }
        (_, Place::Store(name), Some(store)) => {
            let source = open_source(&settings, &from, &of_source)?;
            copying.bring_in(store, &*source, &from, name)?
        }
        _ => {
            let source = open_source(&settings, &from, &of_source)?;
            if let Place::Registry(image) = &from {
                options.mount_from = vec![image.name.repository()];
            }
            copying.copy(&*source, &to, &of_destination, &options)?.root
        }
    };
    match &arguments.digestfile {
        Some(path) => write_digest(path, root.digest()),
        None => Ok(()),
    }
}

struct Copying<'c> {
    settings: &'c Settings<'c>,
    arguments: &'c Copy,
    shown: &'c Shown,
    gate: &'c dyn Gate,
    temporary: &'c OpenTemporary<'c>,
}

impl Copying<'_> {
    fn instances(&self) -> Instances {
        match (self.arguments.all, self.arguments.multi_arch) {
            (true, _) | (_, Some(MultiArch::All)) => Instances::All,
            (_, Some(MultiArch::IndexOnly)) => Instances::IndexOnly,
            (false, Some(MultiArch::System) | None) => Instances::One(self.settings.wanted()),
        }
    }

    fn options(&self) -> Result<CopyOptions<'_>> {
        let arguments = self.arguments;
        let packing = &arguments.packing;
        let layers = match (packing.dest_compress, packing.dest_decompress) {
            (true, _) => Layers::Packed,
            (_, true) => Layers::Plain,
            _ if packing.dest_oci_accept_uncompressed_layers => Layers::AsTheyAre,
            _ => Layers::AsUsual,
        };
        let usual = CopyOptions::new(self.instances(), self.gate, self.shown);
        let temporary = packing.dest_precompute_digests.then(|| self.settings.temporary_dir());
        Ok(CopyOptions {
            format: arguments.format.map(ManifestFormat::format).transpose()?,
            layers,
            compression: Packing::compression(
                packing.dest_compress_format,
                packing.dest_compress_level,
            )?,
            force_compression: packing.dest_force_compress_format,
            preserve_digests: arguments.preserve_digests,
            signatures: !arguments.remove_signatures,
            referrers: arguments.with_referrers,
            precompute: temporary.transpose()?,
            temporary: Some(self.temporary),
            parallel: match arguments.image_parallel_copies {
                None | Some(0) => usual.parallel,
                Some(number) => number,
            },
            ..usual
        })
    }

    fn copy(
        &self,
        source: &dyn Source,
        to: &Place,
        access: &Access,
        options: &CopyOptions<'_>,
    ) -> Result<Copied> {
        if !self.arguments.additional_tag.is_empty() && !matches!(to, Place::DockerArchive(_)) {
            let text = format!("--additional-tag: an image in a {}: has one name", to.transport());
            return Err(Failure::new(text).hint("only docker-archive: has more"));
        }
        let parse = |name: &String| Ok(oci::Reference::parse(name)?.or_latest());
        let names = self.arguments.additional_tag.iter().map(parse).collect::<Result<_>>()?;
        let access = Access { additional_names: names, ..access.clone() };
        let sink = open_sink(self.settings, to, &access)?;
        Ok(images::copy(source, &*sink, options)?)
    }

    fn send_out(
        &self,
        image: &FromStore<'_>,
        to: &Place,
        access: &Access,
        options: CopyOptions<'_>,
    ) -> Result<Document> {
        let origin = || image.open_origin(self.settings, to);
        let options =
            CopyOptions { origin: Some(&origin), mount_from: image.mount_from(), ..options };
        Ok(self.copy(&image.source, to, access, &options)?.root)
    }

    /// Into the store, which keeps manifests as they are and layers unpacked.
    fn bring_in(
        &self,
        store: &Store,
        source: &dyn Source,
        from: &Place,
        name: &str,
    ) -> Result<Document> {
        let packing = &self.arguments.packing;
        let given = [
            ("format", self.arguments.format.is_some()),
            ("additional-tag", !self.arguments.additional_tag.is_empty()),
            ("dest-compress", packing.dest_compress),
            ("dest-decompress", packing.dest_decompress),
            ("dest-compress-format", packing.dest_compress_format.is_some()),
            ("dest-compress-level", packing.dest_compress_level.is_some()),
            ("dest-force-compress-format", packing.dest_force_compress_format),
        ];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            let text =
                format!("--{option}: the store keeps manifests as they come, and layers unpacked");
            return Err(
                Failure::new(text).hint("say how it is to be when it goes out of the store")
            );
        }
        let instances = self.instances();
        if instances == Instances::IndexOnly {
            return Err(Failure::new("--multi-arch index-only: the store holds whole images"));
        }
        let usual = PullOptions::new(instances, self.gate, self.shown);
        let options = PullOptions {
            rights: self.settings.caller.rights(),
            temporary: Some(self.temporary),
            parallel: match self.arguments.image_parallel_copies {
                None | Some(0) => usual.parallel,
                Some(number) => number,
            },
            ..usual
        };
        let name = match transport::registries::is_short(name) {
            true => oci::Reference::parse(&format!("localhost/{name}"))?,
            false => oci::Reference::parse(name)?,
        };
        let names = [name.or_latest().to_string()];
        let pulled =
            images::pull(store, source, &names, &super::pull::origin(from), now(), &options)?;
        Ok(pulled.root)
    }
}
