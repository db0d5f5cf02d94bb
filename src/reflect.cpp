#include <cstdio>
#include <cstdlib>
#include <new>

#include <cxxabi.h>
#include <stook/reflect.hpp>

namespace stook::detail {

namespace {

thread_local FieldNameCapture* capture = nullptr;

}  // namespace

// FieldNameCapture is compiled by every compiler: a program built by clang may link a library
// built by g++.
FieldNameCapture::FieldNameCapture(std::size_t size, std::size_t alignment, std::string_view* out,
                                   std::size_t count)
    : out_(out), count_(count), alignment_(alignment),
      object_(::operator new (size, std::align_val_t{alignment})) {
  auto* bytes = static_cast<unsigned char*>(object_);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = 0;
  capture = this;
}

FieldNameCapture::~FieldNameCapture() {
  capture = nullptr;
  ::operator delete (object_, std::align_val_t{alignment_});
  if (found_ == count_) return;
  std::fprintf(stderr, "stook: field names could not be reflected (%zu of %zu)\n", found_, count_);
  std::abort();
}

int FieldNameCapture::print(const char* format, ...) {
  if (capture != nullptr) capture->take(format);
  return 0;
}

void FieldNameCapture::take(std::string_view format) {
  if (format.ends_with("{\n")) {
    ++depth_;
  } else if (format.ends_with("}\n")) {
    --depth_;
  } else if (depth_ == 1 && format.ends_with(" : ")) {
    format.remove_suffix(3);
    format.remove_prefix(format.rfind(' ') + 1);
    if (found_ < count_) out_[found_] = format;
    ++found_;
  }
}

std::string demangle(const std::type_info& type) {
  int status = 0;
  char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string name = text != nullptr ? text : type.name();
  std::free(text);
  return name;
}

}  // namespace stook::detail
