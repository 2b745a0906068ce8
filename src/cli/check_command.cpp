// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "check/checks.h"
#include "check/image_checks.h"
#include "cli/live_report.h"
#include "cli/proof_report.h"
#include "module/metadata.h"
#include "module/signature.h"
#include "patch/proving.h"

namespace suture::cli {

namespace {

struct CheckOptions {
  KernelChoice kernel;
  fs::path module, objects;
  bool prove = false;
};

bool names_kernel(const CheckOptions& options) {
  return !options.kernel.release.empty() || !options.kernel.files.vmlinuz.empty();
}

Result<Report> prove_again(CheckOptions options, bool json) {
  const module::Metadata metadata = TRY(module::read_metadata(options.module));
  if (!names_kernel(options)) {
    options.kernel.release = metadata.release;
  }
  const kernel::Kernel kernel = TRY(options.kernel.find());
  const auto witness = TRY(patch::Witness::open(kernel, metadata.core, options.objects));
  const Bytes module = TRY(read_bytes(options.module));
  const ByteView content = module::without_signature(module);
  const prove::Proof proof = prove::prove(Bytes(content.begin(), content.end()), witness->about());
  Report report;
  report.json = Json{{"module", options.module.string()}, {"kernel", kernel.release}};
  report.json.update(proof_json(proof));
  const int fd = json ? STDERR_FILENO : STDOUT_FILENO;
  for (const Error& accusation : proof.accusations) {
    report.text += error_text(accusation, fd);
  }
  if (proof.accusations.empty()) {
    report.text = fmt::format("{} for {}: {}\n", paint(options.module.string(), Tone::good, fd),
                              kernel.release, proof_text(proof));
  } else {
    report.text += next_text("do not load it; report it with its diff", fd);
    report.exit_status = exit_code(Code::proof_failed);
  }
  return report;
}

// The verdict in one line, the last one.
std::string verdict_text(const check::CheckedModule& checked, const std::string& release, int fd) {
  std::vector<std::string> failed, others;
  for (const check::Check& check : checked.checks) {
    if (check.verdict == check::Verdict::failed) {
      failed.push_back(check.id);
    } else if (check.verdict != check::Verdict::ok) {
      others.push_back(check.id);
    }
  }
  if (!failed.empty()) {
    return fmt::format("{} {} on {}: {}\n", checked.metadata.name,
                       paint("cannot be loaded", Tone::bad, fd), release, joined(failed));
  }
  return fmt::format("{} {} on {}{}\n", checked.metadata.name,
                     paint("may be loaded", Tone::good, fd), release,
                     others.empty() ? "" : "; look at: " + joined(others));
}

// What people read: a row a check, what to do about those that are not ok, and the verdict.
std::string checks_text(const check::CheckedModule& checked, const std::string& release, int fd) {
  std::vector<std::vector<std::string>> rows{{"CHECK", "VERDICT", "SEEN"}};
  std::string remedies;
  for (const check::Check& check : checked.checks) {
    const bool unknown = check.verdict == check::Verdict::unknown;
    rows.push_back({check.id,
                    unknown ? "cannot tell" : std::string(check::verdict_word(check.verdict)),
                    check.detail});
    if (check.verdict != check::Verdict::ok && !check.remedy.empty()) {
      remedies += next_text(fmt::format("{}: {}", check.id, check.remedy), fd);
    }
  }
  return table(rows) + '\n' + remedies + verdict_text(checked, release, fd);
}

// Of the running machine, or of the kernel that is named.
Result<Report> check(const CheckOptions& options, int fd) {
  check::CheckedModule checked;
  std::string release;
  if (names_kernel(options)) {
    const kernel::Kernel kernel = TRY(options.kernel.find());
    release = kernel.release;
    checked = TRY(check::check_for_kernel(kernel, options.module));
  } else {
    const machine::Machine machine;
    release = machine::running_release(machine);
    checked = TRY(check::check_module(machine, options.module, check::Depth::everything));
  }
  const auto failure = checked.failure(options.module.string());
  Report report;
  report.json = {{"module", options.module.string()},
                 {"name", checked.metadata.name},
                 {"kernel", release},
                 {"verdict", failure ? "failed" : "ok"},
                 {"checks", Json::array()}};
  for (const check::Check& it : checked.checks) {
    report.json["checks"].push_back(live_json(it));
  }
  report.text = checks_text(checked, release, fd);
  report.exit_status = failure ? exit_code(failure->code) : 0;
  return report;
}

}  // namespace

void register_check(Commands& commands) {
  auto options = std::make_shared<CheckOptions>();
  const Command command = commands.add(
      "check",
      "Check whether a patch module may be loaded, or prove it against its compiled sources");
  command.example("suture check fix_1.ko");
  command.option("MODULE", options->module, "The module file (.ko)").required();
  options->kernel.add_options(command).text(
      "Release of a cached kernel, instead of the running machine (with --prove: of the one that "
      "the module is for)");
  const Option objects = command.option("--source-objects DIR", options->objects,
                                        "With --prove: the directory that `suture build "
                                        "--keep-objects` left");
  const Option prove = command.flag(
      "--prove", options->prove,
      "Load it in memory as the kernel would, and compare it with the compiled objects, instead");
  prove.needs(objects);
  objects.needs(prove);
  commands.on_run(command, [options, &commands] {
    return options->prove ? prove_again(*options, commands.json()) : check(*options, commands.fd());
  });
}

}  // namespace suture::cli
