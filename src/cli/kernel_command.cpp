// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "kernel/apt.h"
#include "kernel/cache_space.h"
#include "kernel/image.h"
#include "kernel/kernel.h"
#include "kernel/module_image.h"
#include "kernel/packages.h"
#include "machine/sysfs.h"
#include "patch/headers.h"

namespace suture::cli {

namespace {

Json to_json(const kernel::Kernel& kernel) {
  return {{"release", kernel.release},          {"package_version", kernel.package_version},
          {"build_id", kernel.build_id},        {"directory", kernel.root.string()},
          {"vmlinuz", kernel.vmlinuz.string()}, {"vmlinux", kernel.vmlinux.string()},
          {"config", kernel.config.string()},   {"symvers", kernel.symvers.string()},
          {"modules", kernel.modules.string()}, {"source", kernel.source.string()},
          {"derived", kernel.derived.string()}, {"toolchain", kernel.toolchain.string()}};
}

std::string key_value(std::string_view key, std::string_view value) {
  return fmt::format("{:<10} {}\n", key, value);
}

struct AddOptions {
  KernelChoice kernel;
  std::string suite;
};

// The running kernel where the archive has it; else the newest.
Result<std::string> release_to_add(const AddOptions& options, const kernel::Archive& archive) {
  if (!options.kernel.release.empty()) {
    return options.kernel.release;
  }
  if (options.suite.empty()) {
    std::string running = machine::running_release(machine::Machine{});
    if (TRY(kernel::has_kernel(running, archive))) {
      return running;
    }
  }
  return kernel::newest_release(archive);
}

Result<kernel::Added> add_files(const KernelChoice& choice, const kernel::Archive& archive,
                                const kernel::Progress& tell) {
  TRY(choice.check_files());
  if (choice.files.modules.empty()) {
    return fail(Code::usage, "--modules", "an entry of the cache needs the kernel's modules, too",
                "give --modules, a directory like /lib/modules/REL");
  }
  if (!choice.release.empty()) {
    return fail(Code::usage, choice.release, "a release is named, and a kernel given by its files",
                "give either");
  }
  return kernel::add_files(choice.files, archive, tell);
}

Result<kernel::Added> add_package(const AddOptions& options, const kernel::Archive& archive,
                                  const kernel::Progress& tell) {
  return kernel::add(TRY(release_to_add(options, archive)), archive, tell);
}

Result<Report> add(const AddOptions& options) {
  kernel::Progress tell = progress();
  const std::string& release = options.kernel.release;
  // A kernel that is there needs no archive.
  const bool there = !release.empty() && kernel::find(release).has_value();
  const kernel::Archive archive = options.suite.empty() || there
                                      ? kernel::Archive::of_machine()
                                      : TRY(kernel::Archive::of_suite(options.suite, tell));
  auto added = options.kernel.has_files() ? add_files(options.kernel, archive, tell)
                                          : add_package(options, archive, tell);
  Status indexed = added ? patch::index_headers(added->kernel, tell) : Status{};
  tell("");
  const auto [kernel, made] = TRY(std::move(added));
  TRY(std::move(indexed));
  Report report;
  report.json = to_json(kernel);
  report.json["added"] = made;
  report.text =
      fmt::format("{} {} ({}, build id {})\n", made ? "added" : "already there:", kernel.release,
                  kernel.package_version.empty() ? "given by its files" : kernel.package_version,
                  kernel.build_id.substr(0, 16));
  return report;
}

std::string size_text(std::uintmax_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 1024 ? fmt::format("{:.0f} MiB", mib) : fmt::format("{:.1f} GiB", mib / 1024);
}

Result<Report> list(int fd) {
  Report report;
  report.json["kernels"] = Json::array();
  std::vector<std::vector<std::string>> rows{{"RELEASE", "PACKAGE", "BUILD ID", "SIZE"}};
  const kernel::Listing listing = TRY(kernel::list());
  for (const kernel::Kernel& kernel : listing.kernels) {
    const std::uintmax_t size = kernel::disk_use(kernel.root);
    Json entry = to_json(kernel);
    entry["size"] = size;
    report.json["kernels"].push_back(std::move(entry));
    rows.push_back(
        {kernel.release, kernel.package_version, kernel.build_id.substr(0, 16), size_text(size)});
  }
  std::string wrong;
  for (const kernel::BadEntry& bad : listing.bad) {
    report.json["kernels"].push_back({{"release", bad.release},
                                      {"directory", bad.root.string()},
                                      {"size", kernel::disk_use(bad.root)},
                                      {"error", error_json(bad.error)}});
    wrong += error_text(bad.error, fd);
  }
  const kernel::CacheUse use = kernel::cache_use();
  report.json["size"] = {{"kernels", use.kernels},
                         {"derived", use.derived},
                         {"toolchains", use.toolchains},
                         {"downloads", use.downloads}};
  if (rows.size() > 1) {
    report.text = table(rows);
  } else if (wrong.empty()) {
    report.text = "no kernel is in the cache; add one: suture kernel add\n";
  }
  report.text += wrong;
  if (use.derived + use.downloads > 0) {
    report.text += fmt::format(
        "beside them, what builds keep: {}; packages: {} (suture cache clean "
        "removes both)\n",
        size_text(use.derived), size_text(use.downloads));
  }
  if (use.toolchains > 0) {
    report.text +=
        fmt::format("compilers of other releases of Debian: {} (each goes with its last kernel)\n",
                    size_text(use.toolchains));
  }
  return report;
}

Result<Report> remove(const std::string& release) {
  const std::uintmax_t bytes = TRY(kernel::remove_kernel(release, progress()));
  return Report{.json = {{"removed", release}, {"freed", bytes}},
                .text = fmt::format("removed {}, freed {}\n", release, size_text(bytes))};
}

Result<Report> clean() {
  const std::uintmax_t bytes = TRY(kernel::clean_cache(progress()));
  return Report{
      .json = {{"freed", bytes}},
      .text = fmt::format("freed {}; the kernels stay: suture kernel list\n", size_text(bytes))};
}

Result<Report> show(const std::string& release) {
  const KernelChoice choice{.release = release, .files = {}};
  kernel::Kernel kernel = TRY(choice.find());
  kernel::Image image = TRY(kernel::Image::open(kernel.vmlinux));
  kernel::ModuleDirectory modules = TRY(kernel::ModuleDirectory::open(kernel.modules));
  Report report;
  report.json = to_json(kernel);
  report.json["banner"] = image.banner();
  report.json["compiler"] = image.compiler();
  report.json["symbols"] = image.symbols().all().size();
  report.json["module_count"] = modules.all().size();
  report.text =
      key_value("release", kernel.release) + key_value("package", kernel.package_version) +
      key_value("build id", kernel.build_id) + key_value("compiler", image.compiler()) +
      key_value("symbols", fmt::format("{}", image.symbols().all().size())) +
      key_value("modules", fmt::format("{}", modules.all().size())) +
      key_value("directory", kernel.root.string()) + key_value("source", kernel.source.string()) +
      key_value("toolchain",
                kernel.toolchain.empty() ? "the machine's own" : kernel.toolchain.string());
  return report;
}

}  // namespace

void register_kernel(Commands& commands) {
  const Command kernel = commands.add(
      "kernel", "Fetch stock kernels to build for, see which ones are there, remove them");
  auto release = std::make_shared<std::string>();
  auto options = std::make_shared<AddOptions>();

  const Command add_command =
      kernel.add("add", "Fetch a stock kernel and prepare its source to compile");
  add_command
      .option("RELEASE", options->kernel.release,
              "Its release, e.g. 6.1.0-56-amd64 (default: the running one if Debian's archive has "
              "it, else the newest linux-image-amd64)")
      .offers(Offered::nothing);
  add_command
      .option("--suite", options->suite,
              "A suite of Debian's archive to take it from, which the machine's apt need not know: "
              "trixie, trixie-backports, sid")
      .not_empty()
      .offers(Offered::nothing);
  options->kernel.add_file_options(add_command);
  commands.on_run(add_command, [options] { return add(*options); });

  const Command list_command = kernel.add("list",
                                          "List the kernels in the cache, and say what is wrong "
                                          "with one that is damaged; the exit status stays 0");
  commands.on_run(list_command, [&commands] { return list(commands.fd()); });

  const Command remove_command =
      kernel.add("remove", "Remove a kernel from the cache, with what builds made for it");
  remove_command.option("RELEASE", *release, "Its release, as `suture kernel list` shows it")
      .required()
      .offers(Offered::kernels);
  commands.on_run(remove_command, [release] { return remove(*release); });

  const Command show_command = kernel.add("show", "Show a kernel of the cache");
  show_command
      .option("RELEASE", *release,
              "Its release (default: the running one if it is cached, else the newest of this "
              "Debian's series, else the newest)")
      .offers(Offered::kernels);
  commands.on_run(show_command, [release] { return show(*release); });

  const Command cache = commands.add("cache", "Give back disk space");
  commands.on_run(cache.add("clean",
                            "Remove what can be fetched or made again: packages, and what builds "
                            "keep"),
                  clean);
}

}  // namespace suture::cli
