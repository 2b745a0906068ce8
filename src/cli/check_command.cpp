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

struct Options {
  KernelChoice kernel;
  fs::path module, objects;
  bool prove = false;
};

bool names_kernel(const Options& options) {
  return !options.kernel.release.empty() || !options.kernel.files.vmlinuz.empty();
}

Result<Report> prove_again(Options options, bool json) {
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

// What people read: a row a check, and below what to do about those that are not ok.
std::string checks_text(const check::CheckedModule& checked) {
  std::vector<std::vector<std::string>> rows{{"CHECK", "VERDICT", "SEEN"}};
  std::string remedies;
  for (const check::Check& check : checked.checks) {
    const bool unknown = check.verdict == check::Verdict::unknown;
    rows.push_back({check.id,
                    unknown ? "cannot tell" : std::string(check::verdict_word(check.verdict)),
                    check.detail});
    if (check.verdict != check::Verdict::ok) {
      remedies += fmt::format("{}: {}\n", check.id, check.remedy);
    }
  }
  return table(rows) + (remedies.empty() ? "" : "\nWhat to do:\n" + remedies);
}

// Of the running machine, or of the kernel that is named.
Result<Report> check(const Options& options) {
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
    report.json["checks"].push_back(to_json(it));
  }
  report.text = checks_text(checked);
  report.exit_status = failure ? exit_code(failure->code) : 0;
  return report;
}

}  // namespace

void register_check(Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.app().add_subcommand(
      "check", "Check whether a patch module may be loaded, or prove that it means its sources");
  command->add_option("MODULE", options->module, "The module file (.ko)")->required();
  options->kernel.add_options(command);
  // The running machine is what is meant here where none is named.
  command->get_option("--kernel")
      ->description(
          "Release of a cached kernel, instead of the running machine (with --prove: of the one "
          "that "
          "the module is for)");
  auto* objects = command->add_option("--source-objects", options->objects,
                                      "With --prove: the directory that `suture build "
                                      "--keep-objects` left");
  auto* prove = command->add_flag(
      "--prove", options->prove,
      "Load it in memory as the kernel would, and compare it with the compiled objects, instead");
  prove->needs(objects);
  objects->needs(prove);
  commands.on_run(command, [options, &commands] {
    return options->prove ? prove_again(*options, commands.json()) : check(*options);
  });
}

}  // namespace suture::cli
