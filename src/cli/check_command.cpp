// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "build/proving.h"
#include "cli/command.h"
#include "cli/proof_report.h"
#include "module/metadata.h"
#include "module/signature.h"

namespace suture::cli {

namespace {

struct Options {
  KernelChoice kernel;
  fs::path module, objects;
  bool prove = false;
};

Result<Report> run(Options options, bool json) {
  const module::Metadata metadata = TRY(module::read_metadata(options.module));
  if (options.kernel.release.empty() && options.kernel.files.vmlinuz.empty()) {
    options.kernel.release = metadata.release;
  }
  const kernel::Kernel kernel = TRY(options.kernel.find());
  const auto witness = TRY(build::Witness::open(kernel, options.objects));
  const Bytes module = TRY(read_bytes(options.module));
  const ByteView content = module::without_signature(module);
  const prove::Proof proof = prove::prove(Bytes(content.begin(), content.end()), witness->about());
  Report report;
  report.json = Json{{"module", options.module.string()}, {"kernel", kernel.release}};
  report.json.update(proof_json(proof));
  const int fd = json ? STDERR_FILENO : STDOUT_FILENO;
  for (const Error& accusation : proof.accusations) {
    report.text += fmt::format(
        "{} {}: {}\n", paint(fmt::format("error[{}]:", code_name(accusation.code)), Tone::bad, fd),
        accusation.where, accusation.reason);
  }
  if (proof.accusations.empty()) {
    report.text = fmt::format("{} for {}: {}\n", paint(options.module.string(), Tone::good, fd),
                              kernel.release, proof_text(proof));
  } else {
    report.text += fmt::format("{} do not load it; report it with its diff\n",
                               paint("next:", Tone::strong, fd));
    report.exit_status = exit_code(Code::proof_failed);
  }
  return report;
}

}  // namespace

void register_check(Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.app().add_subcommand(
      "check", "Prove that a patch module means what its sources mean");
  command->add_option("MODULE", options->module, "The module file (.ko)")->required();
  options->kernel.add_options(command);
  command
      ->add_flag("--prove", options->prove,
                 "Load it in memory as the kernel would, and compare it with the compiled objects; "
                 "this version checks nothing else, so it must be given")
      ->required();
  command
      ->add_option("--source-objects", options->objects,
                   "The directory that `suture build --keep-objects` left")
      ->required();
  commands.on_run(command, [options, &commands] { return run(*options, commands.json()); });
}

}  // namespace suture::cli
