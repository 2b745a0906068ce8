// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a verdict on a patch module that can be trusted, also where the guest dies or hangs.
// Method: the guest carries out the plan (live/guest_init.cpp); here its events become the report.
// The kernel's log is judged from the mark of the first phase on, boot and stock modules left out.
// A patch is judged by its own phases; what cannot be laid at the door of one is the whole trial's.
// Invariant: passed means that the guest reached its end, every phase was ok, and no line of the
// log was suspicious or lost.
#include "vm/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "base/process.h"
#include "guest/guest_plan.h"
#include "guest/shared_memory.h"
#include "kernel/decompress.h"
#include "kernel/module_image.h"
#include "vm/guest.h"
#include "vm/initramfs.h"
#include "vm/log_scan.h"
#include "vm/saved_guest.h"

namespace suture::vm {

namespace {

constexpr std::string_view guest_program = "/bin/suture";
constexpr std::string_view banner = "Linux version ";

// What modprobe would load first without being told by depends=: "softdep=pre: crc32c".
std::vector<std::string> soft_dependencies(const kernel::ModuleImage& image) {
  std::vector<std::string> out;
  std::istringstream words{std::string(image.modinfo("softdep"))};
  bool before = false;
  for (std::string word; words >> word;) {
    if (word.ends_with(':')) {
      before = word == "pre:";
    } else if (before) {
      out.push_back(word);
    }
  }
  return out;
}

// A soft dependency names a module or one of its aliases. An algorithm's modules carry its name
// ("crc32c" is provided by crc32c_generic), so only those are opened; empty where there is none,
// which a soft dependency allows.
Result<std::string> provider_of(const kernel::ModuleDirectory& directory, std::string wanted) {
  constexpr std::string_view crypto = "crypto-";
  if (wanted.starts_with(crypto)) {
    wanted.erase(0, crypto.size());
  }
  std::string name = wanted;
  std::ranges::replace(name, '-', '_');
  if (directory.find(name)) {
    return name;
  }
  const std::string alias = fmt::format("alias={}", wanted) + '\0';
  for (const auto& [candidate, file] : directory.all()) {
    if (!candidate.starts_with(name) || !candidate.ends_with("generic")) {
      continue;
    }
    kernel::ModuleImage image = TRY(kernel::ModuleImage::open(file));
    const elf::Section* info = image.elf().section(".modinfo");
    if (info != nullptr && as_text(info->data).find(alias) != std::string_view::npos) {
      return candidate;
    }
  }
  return std::string{};
}

Status add_in_order(const kernel::ModuleDirectory& directory, const std::string& name,
                    std::set<std::string>& seen, std::vector<fs::path>& order) {
  if (!seen.insert(name).second) {
    return {};
  }
  std::optional<fs::path> file = directory.find(name);
  if (!file) {
    return fail(Code::not_in_kernel, name, "the kernel has no module of that name",
                "test the patch on the kernel that it was built for (-k)");
  }
  kernel::ModuleImage image = TRY(kernel::ModuleImage::open(*file));
  for (std::string needed : image.depends()) {
    std::ranges::replace(needed, '-', '_');
    TRY(add_in_order(directory, needed, seen, order));
  }
  for (const std::string& wanted : soft_dependencies(image)) {
    std::string provider = TRY(provider_of(directory, wanted));
    if (!provider.empty()) {
      TRY(add_in_order(directory, provider, seen, order));
    }
  }
  order.push_back(*file);
  return {};
}

// "nf_tables.ko.xz" goes in unpacked, as "nf_tables.ko": the guest's kernel may know no
// compression.
Result<std::string> add_module(Initramfs& files, const fs::path& module) {
  Bytes bytes = TRY(read_bytes(module));
  if (kernel::compression_of(bytes) != kernel::Compression::none) {
    bytes = TRY(kernel::decompress(bytes, module.string(), Code::bad_module));
  }
  std::string name = module.filename().string();
  std::string path = "/test/modules/" + name.substr(0, name.find(".ko")) + ".ko";
  files.add_bytes(path, std::move(bytes), 0644);
  return path;
}

// Puts the patches and the modules that they change into the guest; a module only once.
Status add_patches(Initramfs& files, const kernel::Kernel& kernel, const TrialOptions& options,
                   guest::GuestPlan& plan) {
  std::map<fs::path, std::string> there;
  for (const TrialPatch& patch : options.patches) {
    guest::PlannedPatch planned{.file = fmt::format("/test/patches/{}/{}", plan.patches.size() + 1,
                                                    patch.module.filename().string()),
                                .name = patch.name};
    TRY(files.add_file(planned.file, patch.module, 0644));
    for (const fs::path& module : TRY(load_order(kernel.modules, patch.targets))) {
      if (!there.contains(module)) {
        there[module] = TRY(add_module(files, module));
      }
      planned.modules.push_back(there[module]);
    }
    plan.patches.push_back(std::move(planned));
  }
  return {};
}

// What every guest boots with: nothing of the trial, so that it can be kept for the next one.
Result<Initramfs> boot_files(const fs::path& program) {
  Initramfs files;
  files.add_directory("/tmp");
  files.add_directory("/test");
  TRY(files.add_program(std::string(guest_program), program));
  TRY(files.add_busybox());
  return files;
}

// What the trial itself puts into /test keeps its place, and each file has its own.
Status add_given(Initramfs& files, const fs::path& file) {
  constexpr std::array<std::string_view, 6> taken{"script",    "load",    "core",
                                                  "plan.json", "modules", "patches"};
  const std::string name = file.filename().string();
  const std::string path = "/test/" + name;
  if (files.contains(path) || std::ranges::find(taken, name) != taken.end()) {
    return fail(
        Code::usage, file.string(),
        fmt::format("the guest's {} is taken: by another file, or by the test itself", path),
        "give the file another name");
  }
  return files.add_script(path, file);
}

// Memory in which the kernel starts, unpacks the files that it boots with, and has room for more.
Status check_memory(const Initramfs& boots_with, const Initramfs& files, unsigned memory_mib) {
  constexpr std::uint64_t for_the_kernel_mib = 100;
  const std::uint64_t needed_mib =
      for_the_kernel_mib + ((boots_with.size() + std::max(boots_with.size(), files.size())) >> 20);
  if (memory_mib < needed_mib) {
    return fail(
        Code::usage, fmt::format("--memory {}", memory_mib),
        fmt::format("this guest needs {} MiB: its kernel and programs {}, the files of the "
                    "test {}",
                    needed_mib, for_the_kernel_mib + (boots_with.size() >> 20), files.size() >> 20),
        fmt::format("give it more: --memory {}", std::bit_ceil(needed_mib)));
  }
  return {};
}

// The files of this trial.
Status fill(Initramfs& files, const kernel::Kernel& kernel, const TrialOptions& options) {
  guest::GuestPlan plan{.model = options.model,
                        .module_order = options.module_order,
                        .rounds = options.rounds,
                        .transition_timeout = options.transition_timeout};
  if (!options.core.empty()) {
    plan.core = "/test/core/suture.ko";
    TRY(files.add_file(plan.core, options.core, 0644));
  }
  TRY(add_patches(files, kernel, options, plan));
  if (!options.script.empty()) {
    plan.script = "/test/script";
    TRY(files.add_script(plan.script, options.script));
  }
  if (!options.load_script.empty()) {
    plan.load_script = "/test/load";
    TRY(files.add_script(plan.load_script, options.load_script));
  }
  for (const fs::path& file : options.files) {
    TRY(add_given(files, file));
  }
  const std::string json = guest::to_json(plan);
  ByteView bytes = as_bytes(json);
  files.add_bytes(std::string(guest::plan_path), Bytes(bytes.begin(), bytes.end()), 0644);
  return {};
}

// Turns the guest's events into the report.
class Listener {
 public:
  Listener(TrialReport& report, const TrialWatcher& watcher) : report_(report), watcher_(watcher) {}

  bool log_lost() const { return log_lost_; }
  const std::string& phase() const { return phase_; }
  const std::string& patch() const { return patch_; }

  // False at the end.
  bool take(std::string_view line) {
    std::optional<guest::Event> event = guest::parse_line(line);
    if (!event) {
      return true;
    }
    switch (event->kind) {
      case guest::EventKind::started:
        patch_ = event->patch;
        phase_ = event->phase;
        output_.clear();
        watcher_.started(phase_);
        break;
      case guest::EventKind::output:
        output_ += event->text;
        watcher_.output(event->text);
        break;
      case guest::EventKind::phase: end_phase(*event); break;
      case guest::EventKind::log: take_log(*event); break;
      case guest::EventKind::log_lost: log_lost_ = true; break;
      case guest::EventKind::ready:
      case guest::EventKind::alive: break;
      case guest::EventKind::end: return false;
    }
    return true;
  }

 private:
  void end_phase(const guest::Event& event) {
    report_.phases.push_back(TrialPhase{.patch = event.patch,
                                        .name = event.phase,
                                        .round = event.round,
                                        .ok = event.ok,
                                        .seconds = event.seconds,
                                        .model = event.model,
                                        .pause_ns = event.pause_ns,
                                        .output = std::exchange(output_, {}),
                                        .reason = event.text});
    if (event.phase == "load" && event.ok) {
      report_.transition_seconds = std::max(report_.transition_seconds, event.seconds);
      report_.model = event.model;
      report_.pause_ns = std::max(report_.pause_ns, event.pause_ns);
    }
    watcher_.finished(report_.phases.back());
  }

  void take_log(const guest::Event& event) {
    report_.log += fmt::format("[{:12.6f}] {}\n", event.seconds, event.text);
    if (report_.release.empty() && event.text.starts_with(banner)) {
      report_.release = event.text.substr(banner.size());
      report_.release.resize(std::min(report_.release.find(' '), report_.release.size()));
    }
    if (!event.from_kernel) {
      if (event.text.starts_with(guest::log_mark)) {
        std::istringstream words(event.text.substr(guest::log_mark.size()));
        log_patch_.clear();  // the phases of the core are about none
        words >> log_phase_ >> log_patch_;
      }
      return;
    }
    if (!log_phase_.empty() && log_phase_ != guest::modules_phase && is_suspicious(event.text)) {
      report_.suspicious.push_back(LogLine{
          .patch = log_patch_, .phase = log_phase_, .seconds = event.seconds, .text = event.text});
    }
  }

  TrialReport& report_;
  const TrialWatcher& watcher_;
  bool log_lost_ = false;
  std::string patch_;  // as announced
  std::string phase_;
  std::string log_patch_;  // as marked in the log
  std::string log_phase_;
  std::string output_;
};

// What a dying kernel said on its console and could not send any more.
void add_console(TrialReport& report, const Listener& listener) {
  std::istringstream lines(report.console);
  for (std::string line; std::getline(lines, line);) {
    std::erase(line, '\r');
    double seconds = 0;
    if (std::size_t bracket = line.find("] "); line.starts_with('[') && bracket < 20) {
      seconds = std::atof(line.c_str() + 1);
      line.erase(0, bracket + 2);
    }
    if (is_suspicious(line) &&
        std::ranges::find(report.suspicious, line, &LogLine::text) == report.suspicious.end()) {
      report.suspicious.push_back(LogLine{
          .patch = listener.patch(), .phase = listener.phase(), .seconds = seconds, .text = line});
    }
  }
}

std::string why_ended(const GuestEnd& end, const TrialReport& report, const std::string& phase) {
  const std::string where = phase.empty() ? "before the first phase" : "in phase " + phase;
  auto panic = std::ranges::find_if(report.suspicious, [](const LogLine& line) {
    return line.text.find("Kernel panic") != std::string::npos;
  });
  switch (end.how) {
    case GuestEnd::How::told: return {};
    case GuestEnd::How::died:
      return fmt::format(
          "the guest's kernel died {}: {}", where,
          panic != report.suspicious.end() ? panic->text : console_tail(report.console, 3));
    case GuestEnd::How::silent:
      return fmt::format("the guest hung {}: no sign of life any more", where);
    case GuestEnd::How::deadline:
      return fmt::format("the time limit was reached {}, after {:.0f} s", where, report.seconds);
  }
  return {};
}

void judge(TrialReport& report, const GuestEnd& end, const Listener& listener) {
  auto failed = std::ranges::find(report.phases, false, &TrialPhase::ok);
  if (end.how != GuestEnd::How::told) {
    add_console(report, listener);
    report.reason = why_ended(end, report, listener.phase());
  } else if (failed != report.phases.end()) {
    report.reason = fmt::format("{}: {}", failed->name, failed->reason);
  } else if (!report.suspicious.empty()) {
    report.reason = fmt::format("the kernel complained in phase {}: {}",
                                report.suspicious.front().phase, report.suspicious.front().text);
  } else if (listener.log_lost()) {
    report.reason = "the kernel's log overflowed, so it cannot be judged";
  }
  report.passed = report.reason.empty();
}

// What speaks against one patch; empty where nothing does.
std::string why_not(const TrialReport& report, const GuestEnd& end, const Listener& listener,
                    const std::string& patch) {
  auto is_its = [&](const auto& part) { return part.patch == patch; };
  if (std::ranges::none_of(report.phases, is_its) && listener.patch() != patch) {
    return "it was not tried: the guest did not come that far";
  }
  if (end.how != GuestEnd::How::told && listener.patch() == patch) {
    return why_ended(end, report, listener.phase());
  }
  for (const TrialPhase& phase : report.phases) {
    if (is_its(phase) && !phase.ok) {
      return fmt::format("{}: {}", phase.name, phase.reason);
    }
  }
  auto line = std::ranges::find_if(report.suspicious, is_its);
  if (line != report.suspicious.end()) {
    return fmt::format("the kernel complained in phase {}: {}", line->phase, line->text);
  }
  return listener.log_lost() ? report.reason : std::string{};
}

void judge_each(TrialReport& report, const TrialOptions& options, const GuestEnd& end,
                const Listener& listener) {
  for (const TrialPatch& patch : options.patches) {
    PatchVerdict verdict{.name = patch.name, .reason = why_not(report, end, listener, patch.name)};
    verdict.passed = verdict.reason.empty();
    for (const TrialPhase& phase : report.phases) {
      if (phase.patch == patch.name && phase.name == "load" && phase.ok) {
        verdict.transition_seconds = std::max(verdict.transition_seconds, phase.seconds);
      }
    }
    report.verdicts.push_back(std::move(verdict));
  }
}

}  // namespace

Result<std::vector<fs::path>> load_order(const fs::path& modules,
                                         const std::vector<std::string>& targets) {
  std::vector<fs::path> order;
  if (targets.empty()) {
    return order;
  }
  if (modules.empty()) {
    return fail(Code::usage, targets.front(), "the patch changes this module, and none were given",
                "give the kernel's modules: --modules DIR");
  }
  kernel::ModuleDirectory directory = TRY(kernel::ModuleDirectory::open(modules));
  std::set<std::string> seen;
  for (const std::string& target : targets) {
    TRY(add_in_order(directory, target, seen, order));
  }
  return order;
}

Result<TrialReport> try_modules(const kernel::Kernel& kernel, const TrialOptions& options,
                                const TrialWatcher& watcher) {
  const WorkDir scratch = TRY(WorkDir::create(temporary_directory(), "suture-test"));
  const fs::path archive = scratch.path() / "files";
  const Initramfs boots_with = TRY(boot_files(options.program));
  Initramfs files(&boots_with);
  TRY(fill(files, kernel, options));
  TRY(check_memory(boots_with, files, options.memory_mib));
  TRY(files.write(archive));
  GuestWanted wanted{.hardware = {.memory_mib = options.memory_mib, .cpus = options.cpus},
                     .vmlinuz = kernel.vmlinuz,
                     .files = &boots_with,
                     .init = fmt::format("{} guest-init", guest_program),
                     .arguments = options.arguments,
                     .limits = {.deadline = options.deadline},
                     .keep = {},
                     .progress = watcher.progress};
  // Unusually much makes a machine of its own, which is not worth keeping.
  const std::uint64_t usual = wanted.hardware.shared_bytes;
  const MappedFile packed = TRY(MappedFile::open(archive));
  while (wanted.hardware.shared_bytes < packed.bytes().size() + guest::archive_offset) {
    wanted.hardware.shared_bytes *= 2;
  }
  if (!options.fresh_boot && !kernel.derived.empty() && wanted.hardware.shared_bytes == usual) {
    wanted.keep = kernel.derived / "guests";
  }
  auto [guest, restored, before] = TRY(ready_guest(wanted));
  TrialReport report{.restored = restored, .boot_seconds = before + guest.seconds()};
  Listener listener(report, watcher);
  TRY(guest.hand_over(packed.bytes()));
  Limits limits = wanted.limits;
  limits.deadline -= before;
  const GuestEnd end =
      TRY(guest.watch(limits, [&](std::string_view line) { return listener.take(line); }));
  report.console = guest.console();
  report.seconds = before + end.seconds;
  judge(report, end, listener);
  judge_each(report, options, end, listener);
  return report;
}

}  // namespace suture::vm
