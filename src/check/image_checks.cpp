// SPDX-License-Identifier: GPL-2.0-or-later
#include "check/image_checks.h"

#include <fmt/format.h>

#include "check/shared_checks.h"
#include "kernel/image.h"
#include "kernel/module_image.h"

namespace suture::check {

namespace {

// Build-ids and symbols of vmlinux and of the modules that the patch changes.
class Files {
 public:
  static Result<Files> open(const kernel::Kernel& kernel, const module::Metadata& metadata) {
    Files files{TRY(kernel::Image::open(kernel.vmlinux))};
    for (const module::PatchedObject& object : metadata.objects) {
      if (object.name == "vmlinux") {
        continue;
      }
      auto directory = TRY(kernel::ModuleDirectory::open(kernel.modules));
      if (auto path = directory.find(object.name)) {
        files.modules_.emplace(object.name, TRY(kernel::ModuleImage::open(*path)));
      }
    }
    return files;
  }

  bool has(const std::string& object) const {
    return object == "vmlinux" || modules_.contains(object);
  }
  std::string build_id(const std::string& object) const {
    return object == "vmlinux" ? image_.build_id() : modules_.at(object).build_id();
  }
  std::uint32_t count(const std::string& object, const std::string& name) const {
    if (object == "vmlinux") {
      return static_cast<std::uint32_t>(image_.symbols().find(name).size());
    }
    const kernel::ModuleImage& module = modules_.at(object);
    std::uint32_t count = 0;
    for (std::uint32_t index : module.core_symbols()) {
      count += module.elf().symbols()[index].name == name ? 1 : 0;
    }
    return count;
  }

 private:
  explicit Files(kernel::Image image) : image_(std::move(image)) {}
  kernel::Image image_;
  std::map<std::string, kernel::ModuleImage> modules_;
};

Check image_build_id_check(const Files& files, const module::PatchedObject& object) {
  Check check{.id = object.name == "vmlinux" ? "kernel-build-id" : "module-build-id " + object.name,
              .remedy = "build the patch for this kernel",
              .code = Code::wrong_kernel};
  if (!files.has(object.name)) {
    check.verdict = Verdict::failed;
    check.detail = fmt::format("the kernel has no module {}", object.name);
  } else if (object.build_id.empty()) {
    check.verdict = Verdict::unknown;
    check.detail = "the patch does not say which it is for";
  } else if (files.build_id(object.name) == object.build_id) {
    check = {.id = check.id, .detail = object.build_id};
  } else {
    check.verdict = Verdict::failed;
    check.detail = fmt::format("it is for the {} with build-id {}, and this one has {}",
                               object.name, object.build_id, files.build_id(object.name));
  }
  return check;
}

}  // namespace

Result<CheckedModule> check_for_kernel(const kernel::Kernel& kernel, const fs::path& module) {
  CheckedModule out{.metadata = TRY(module::read_metadata(module)), .checks = {}};
  const module::Metadata& metadata = out.metadata;
  out.checks = {form_check(metadata), release_check(kernel.release, metadata)};
  const Files files = TRY(Files::open(kernel, metadata));
  for (const module::PatchedObject& object : metadata.objects) {
    out.checks.push_back(image_build_id_check(files, object));
  }
  out.checks.push_back(symbols_check(
      wanted_symbols(metadata), [&](const std::string& object) { return files.has(object); },
      [&](const std::string& object, const std::string& name) {
        return files.count(object, name);
      }));
  out.checks.push_back(removal_check(metadata));
  return out;
}

}  // namespace suture::check
