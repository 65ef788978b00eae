//! AMD's code for every variant, for one family or as a table of all, and its limits.

use super::amd::{Compiler, Mix, Shader, Statistics};
use super::refused;
use super::translate::Module;
use super::variants::{Variant, variants};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::kernels::products::tile::TILES;
use wgrad::train::bench::CASES;

/// The families of the table, from the oldest: GCN 4 and 5, RDNA 1 to 4.
const FAMILIES: [&str; 6] = ["polaris10", "vega10", "navi10", "navi21", "navi31", "gfx1201"];

/// Instruction caches hold 32 KB or 64 KB.
const CODE: u64 = 32 << 10;
/// While a wave waits for memory, others compute.
const WAVES: u64 = 4;
/// Families before RDNA, which have few registers: no tile that needs more is taken there (`tile::choices`).
const GCN: [&str; 2] = ["polaris10", "vega10"];
const GCN_REGISTERS: usize = 64;

/// A kernel's name without its tile, and its tile.
fn parts(entry: &str) -> (&str, &str) {
    let number = |at: &usize| entry[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let Some(at) = entry.match_indices('_').map(|(at, _)| at).find(number) else {
        return (entry, "");
    };
    (&entry[..at], entry[at + 1..].trim_end_matches("_wide"))
}

/// A variant, as it was compiled.
struct Compiled {
    entry: String,
    constants: String,
    is_f16: bool,
    found: Statistics,
}

impl Compiled {
    fn fold(&self) -> &str {
        let fold = self.constants.split(',').find_map(|pair| pair.strip_prefix("FOLD="));
        fold.unwrap_or_default()
    }

    /// The fewest waves that are let pass on a family: any on one that never takes the kernel's tile.
    fn waves(&self, family: &str) -> u64 {
        if !GCN.contains(&family) {
            return WAVES;
        }
        let (_, name) = parts(&self.entry);
        let wide = if self.entry.ends_with("_wide") { "_wide" } else { "" };
        let tile = TILES.iter().find(|tile| tile.to_string() == format!("{name}{wide}"));
        let fold = self.fold() == "1";
        match tile {
            Some(tile) if tile.registers(fold) > GCN_REGISTERS => 1,
            Some(_) => WAVES,
            // What has no tile: losses, sums, and the kernel of whole rows with its workgroup memory.
            None => WAVES - 1,
        }
    }

    /// What is beyond a limit.
    fn broken(&self, family: &str) -> Vec<String> {
        let waves = self.waves(family);
        let found = &self.found;
        let mut broken = Vec::new();
        if found.spilled > 0 {
            broken.push(format!("{} registers are spilled", found.spilled));
        }
        if found.scratch > 0 {
            broken.push(format!("{} bytes of scratch memory", found.scratch));
        }
        if found.waves < waves {
            broken.push(format!("{} waves for each SIMD, {waves} are asked for", found.waves));
        }
        if found.code > CODE {
            broken.push(format!("{} bytes of code, {CODE} are let pass", found.code));
        }
        broken
    }

    /// A line of `compilers amd`.
    fn line(&self, family: &str) -> String {
        let s = &self.found;
        let Mix { fma, vector, lds, memory, scalar } = s.inner;
        let share = s.inner.share().map_or("-".into(), |share| format!("{share:.2}"));
        let numbers = [s.vgprs, s.sgprs, s.spilled, s.scratch, s.waves, s.code];
        let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
        format!(
            "{}\t{}\t{}\t{}\t{fma}\t{vector}\t{lds}\t{memory}\t{scalar}\t{share}\t{}",
            self.entry,
            self.constants,
            if self.is_f16 { "f16" } else { "f32" },
            numbers.join("\t"),
            self.broken(family).join("; "),
        )
    }

    fn of_line(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.split('\t').collect();
        let number = |at: usize| fields.get(at)?.parse().ok();
        Some(Self {
            entry: fields[0].into(),
            constants: (*fields.get(1)?).into(),
            is_f16: *fields.get(2)? == "f16",
            found: Statistics {
                vgprs: number(3)?,
                sgprs: number(4)?,
                spilled: number(5)?,
                scratch: number(6)?,
                waves: number(7)?,
                code: number(8)?,
                inner: Mix {
                    fma: number(9)?,
                    vector: number(10)?,
                    lds: number(11)?,
                    memory: number(12)?,
                    scalar: number(13)?,
                },
            },
        })
    }
}

const HEAD: &str = "kernel\tconstants\tprecision\tVGPRs\tSGPRs\tspilled\tscratch\twaves\tbytes\t\
    fma\tvector\tlds\tmemory\tscalar\tFMA share\tbeyond a limit";

/// `compilers amd [--fast] [FILTER]`: a line for each variant, for the family at hand. `--fast` takes the
/// variants of the measured nets in f32. It fails where a variant is beyond a limit.
pub fn print_family(arguments: &[&str]) -> ExitCode {
    let is_fast = arguments.contains(&"--fast");
    let filter = arguments.iter().find(|a| !a.starts_with("--")).copied().unwrap_or_default();
    let compiler = Compiler::open().unwrap_or_else(|why| panic!("{why}"));
    let is_asked = |variant: &Variant| {
        // Sums are left to subgroups where all of a device have one size. AMD's compiler gets no cooperative
        // matrices here: the null device has none in all drivers that this is run with.
        let by_subgroups = compiler.subgroup.is_some() && variant.adds_up();
        variant.subgroups.is_some() == by_subgroups
            && !variant.has_matrices()
            && variant.kernel.entry.contains(filter)
            && !(is_fast && (variant.has_f16() || !is_measured(variant)))
    };
    let asked: Vec<_> = variants().into_iter().filter(is_asked).collect();
    let family = family(&compiler);
    println!("# {}: {} variants\n{HEAD}", compiler.name, asked.len());
    let compile = |variant: &Variant| -> Result<Compiled, String> {
        let subgroups = variant.subgroups.and(compiler.subgroup);
        let variant = variant.with_subgroups(subgroups);
        let words = Module::of(&variant)?.spirv((1, 6))?;
        let (entry, storage) = (variant.kernel.entry, variant.kernel.bindings.len());
        let found = compiler.compile(&Shader { words: &words, entry, storage })?;
        let (entry, constants) = (entry.to_string(), variant.constants());
        Ok(Compiled { entry, constants, is_f16: variant.has_f16(), found })
    };
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(0);
    let work = || {
        while let Some(variant) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (line, is_broken) = match compile(variant) {
                Ok(compiled) => (compiled.line(&family), !compiled.broken(&family).is_empty()),
                Err(why) => {
                    (format!("{}\t{}\t{why}", variant.kernel.entry, variant.constants()), true)
                }
            };
            let mut broken = broken.lock().expect("no thread panicked");
            *broken += usize::from(is_broken);
            println!("{line}");
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    ExitCode::from(u8::from(broken.into_inner().expect("no thread panicked") > 0))
}

/// `compilers amd --refused`: the shaders that must be beyond a limit, `refused/amd-*.wgsl`.
pub fn print_refused() -> ExitCode {
    let compiler = Compiler::open().unwrap_or_else(|why| panic!("{why}"));
    let family = family(&compiler);
    let mut taken = 0;
    println!("# {}\n{HEAD}", compiler.name);
    for (name, text) in refused().into_iter().filter(|(name, _)| name.starts_with("amd")) {
        let module = Module::core(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        let words = module.spirv((1, 6)).unwrap_or_else(|why| panic!("{name}: {why}"));
        let shader = Shader { words: &words, entry: "refused", storage: 1 };
        let found = compiler.compile(&shader).unwrap_or_else(|why| panic!("{name}: {why}"));
        let compiled = Compiled { entry: name, constants: String::new(), is_f16: false, found };
        println!("{}", compiled.line(&family));
        taken += usize::from(compiled.broken(&family).is_empty());
    }
    ExitCode::from(u8::from(taken > 0))
}

/// By the name with which it is forced, or by the device's own.
fn family(compiler: &Compiler) -> String {
    std::env::var("RADV_FORCE_FAMILY").unwrap_or_else(|_| compiler.name.clone())
}

/// Whether a measured net launches it in f32.
fn is_measured(variant: &Variant) -> bool {
    let of = |case: &str| variant.of.iter().any(|of| of.starts_with(&format!("{case} f32/")));
    CASES.iter().any(|case| of(case.name))
}

/// `compilers`: runs itself once a family and writes the table.
pub fn compile_table() -> ExitCode {
    let told = FAMILIES.map(|family| {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg("amd").env("RADV_FORCE_FAMILY", family).env("NODEVICE_SELECT", "1");
        if std::env::var_os("VK_ICD_FILENAMES").is_none() {
            let (driver, libraries) = driver();
            command.env("VK_ICD_FILENAMES", driver);
            libraries.map(|path| command.env("LD_LIBRARY_PATH", path));
        }
        let output = command.output().expect("this program runs");
        let why = String::from_utf8_lossy(&output.stderr);
        why.lines().filter(|line| line.contains("family")).for_each(|line| eprintln!("{line}"));
        (family.to_string(), String::from_utf8_lossy(&output.stdout).into_owned())
    });
    write_table(&told)
}

/// `compilers table FILE…`: writes the table of what `compilers amd` printed before, to files with the families as
/// extensions.
pub fn read_table(files: &[&str]) -> ExitCode {
    let told = files.iter().map(|file| {
        let family = Path::new(file).extension().expect("a family as its extension");
        let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        (family.to_string_lossy().into_owned(), text)
    });
    write_table(&told.collect::<Vec<_>>())
}

/// Of each family what `compilers amd` prints.
fn write_table(told: &[(String, String)]) -> ExitCode {
    let mut tables = String::new();
    let mut heads = String::new();
    let mut is_broken = false;
    for (family, text) in told {
        let all: Vec<_> = text.lines().filter_map(Compiled::of_line).collect();
        if all.is_empty() {
            println!("{family}: skipped: this driver doesn't know it");
            continue;
        }
        let device = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        let spilling = all.iter().filter(|one| one.found.spilled + one.found.scratch > 0).count();
        let few = all.iter().filter(|one| one.found.waves < WAVES).count();
        let long = all.iter().filter(|one| one.found.code > CODE).count();
        let beyond: Vec<_> = all.iter().filter(|one| !one.broken(family).is_empty()).collect();
        is_broken |= !beyond.is_empty();
        let _ = writeln!(heads, "| {family} | {} | {spilling} | {few} | {long} |", all.len());
        let _ = write!(tables, "\n## {family}\n\n{device}\n\n{}", table(&all));
        println!(
            "{family}: {} variants, {spilling} with spills, {few} with fewer than {WAVES} waves, \
             {long} with more than 32 KB of code; {} beyond a limit",
            all.len(),
            beyond.len(),
        );
        for one in beyond {
            println!("    {} {}: {}", one.entry, one.constants, one.broken(family).join("; "));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/compilers.md");
    let text = format!("{EXPLANATION}\n{SUMMARY}{heads}{tables}");
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    println!("{}", path.display());
    ExitCode::from(u8::from(is_broken))
}

const EXPLANATION: &str = "\
# What AMD's compiler makes of the kernels

Written by `cargo bench --bench compilers`: each kernel, with all the constants that programs launch it with,
was compiled by ACO, the compiler in Mesa's Vulkan driver, for GPUs that were not there. Nothing here was
executed. Each line is the worst of the variants of one kernel and tile: the most registers, spills and bytes, the
fewest waves (of as many invocations as the compiler chose, 32 or 64), and the inner loop with the lowest share of
multiply-adds. \"Inner loop\" counts the instructions of the innermost loop that has the most
multiply-adds: multiply-adds, other vector instructions, workgroup memory, memory, scalar. \"FMA\" is the share of
multiply-adds in its vector instructions, of the worst and the best variant (those of rows that are a multiple of
four long load them four at a time): no kernel reaches a larger share of the GPU's peak.
What is done at the end of a segment only (FOLD, and tiles of four slices) may stand in that loop and is counted with it.
FOLD is 1 where the sum of a product is cut into parts of 64 terms. Of the families before RDNA (polaris10, vega10), which
have few registers, those with fewer than four waves are tiles that no program takes there, or have three and no tile.
";

const SUMMARY: &str = "\
| family | variants | with spills | with fewer than 4 waves | with more than 32 KB of code |
| --- | ---: | ---: | ---: | ---: |
";

/// The driver that `scripts/compilers` unpacked, with the folder of its libraries, or else the system's.
fn driver() -> (PathBuf, Option<PathBuf>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mesa = target.join("compilers/mesa/root/usr");
    let unpacked = mesa.join("share/vulkan/icd.d/radeon_icd.json");
    if unpacked.exists() {
        return (unpacked, Some(mesa.join("lib/x86_64-linux-gnu")));
    }
    let installed = Path::new("/usr/share/vulkan/icd.d");
    let names = ["radeon_icd.x86_64.json", "radeon_icd.json"].map(|name| installed.join(name));
    let [first, second] = names;
    (if first.exists() { first } else { second }, None)
}

/// A line for each kernel, tile and FOLD.
fn table(all: &[Compiled]) -> String {
    let mut rows: BTreeMap<_, Vec<&Compiled>> = BTreeMap::new();
    for one in all {
        let (kernel, tile) = parts(&one.entry);
        rows.entry((kernel, tile, one.fold())).or_default().push(one);
    }
    let mut text = String::from(
        "| kernel | tile | FOLD | variants | VGPRs | spills | waves | KB | inner loop | FMA |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |\n",
    );
    for ((kernel, tile, fold), of) in rows {
        let most = |number: fn(&Statistics) -> u64| of.iter().map(|one| number(&one.found)).max();
        let vgprs = most(|s| s.vgprs).unwrap_or_default();
        let spills = most(|s| s.spilled.max(s.scratch)).unwrap_or_default();
        let waves = of.iter().map(|one| one.found.waves).min().unwrap_or_default();
        let code = most(|s| s.code).unwrap_or_default() as f64 / 1024.0;
        let share = |one: &&&Compiled| one.found.inner.share();
        let looping = of.iter().filter(|one| share(one).is_some());
        let best = looping.clone().filter_map(|one| share(&one)).fold(0.0, f64::max);
        let worst = looping.min_by(|a, b| share(a).partial_cmp(&share(b)).expect("numbers"));
        let (mix, share) = worst.map_or((String::new(), String::new()), |one| {
            let Mix { fma, vector, lds, memory, scalar } = one.found.inner;
            let mix = format!("{fma} + {vector} + {lds} + {memory} + {scalar}");
            let worst = share(&one).unwrap_or_default();
            (mix, format!("{:.0}–{:.0} %", worst * 100.0, best * 100.0))
        });
        let _ = writeln!(
            text,
            "| {kernel} | {tile} | {fold} | {} | {vgprs} | {spills} | {waves} | {code:.1} | {mix} | {share} |",
            of.len(),
        );
    }
    text
}
