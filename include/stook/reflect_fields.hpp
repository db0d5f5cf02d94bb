// reflect_fields.hpp - the fields of an aggregate as function arguments, by structured bindings.
// Included by reflect.hpp, not by users. Written by a loop: one overload for each count.
#pragma once

#include <cstddef>

namespace stook::detail {

inline constexpr std::size_t max_fields = 40;

template <std::size_t N>
struct FieldCount {};

template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<0>, V&, F&& f) {
  return f();
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<1>, V& v, F&& f) {
  auto& [a0] = v;
  return f(a0);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<2>, V& v, F&& f) {
  auto& [a0, a1] = v;
  return f(a0, a1);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<3>, V& v, F&& f) {
  auto& [a0, a1, a2] = v;
  return f(a0, a1, a2);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<4>, V& v, F&& f) {
  auto& [a0, a1, a2, a3] = v;
  return f(a0, a1, a2, a3);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<5>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4] = v;
  return f(a0, a1, a2, a3, a4);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<6>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5] = v;
  return f(a0, a1, a2, a3, a4, a5);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<7>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6] = v;
  return f(a0, a1, a2, a3, a4, a5, a6);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<8>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<9>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<10>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<11>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<12>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<13>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<14>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<15>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<16>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<17>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<18>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<19>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<20>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19]
    = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<21>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<22>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<23>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<24>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<25>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<26>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<27>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<28>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<29>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<30>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<31>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<32>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<33>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<34>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<35>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<36>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<37>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<38>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36,
    a37);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<39>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37, a38]
    = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37,
    a38);
}
template <class V, class F>
constexpr decltype(auto) bind_fields(FieldCount<40>, V& v, F&& f) {
  auto& [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19,
    a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37, a38,
    a39] = v;
  return f(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,
    a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37,
    a38, a39);
}

}  // namespace stook::detail
