#include "nn/hyper_connection.h"

#include "nn/moe.h"

namespace rapid {

Result<HyperConnection> HyperConnection::load(
    const WeightCursor& cursor, const HyperOptions& o) {
  const int all = o.streams * o.hidden;
  const int width = o.last ? o.streams : (2 + o.streams) * o.streams;
  auto mixes = std::make_shared<Projection>();
  RAPID_TRY(Linear matrix, load_exact(cursor, {"fn", all, width}));
  mixes->parts.push_back(std::move(matrix));
  mx::array ones = mx::ones({all});
  ones.eval();
  mixes->before = RmsNorm{std::move(ones), o.norm_eps};
  RAPID_TRY(mx::array base, cursor.vector("base", width));
  RAPID_TRY(mx::array scale, cursor.vector("scale", o.last ? 1 : 3));
  base.eval();
  scale.eval();
  return HyperConnection(
      std::move(mixes),
      std::make_shared<StreamGates>(StreamGates{
          .streams = o.streams,
          .rounds = o.rounds,
          .eps = o.eps,
          .base = std::move(base),
          .scale = std::move(scale)}));
}

HyperConnection::In HyperConnection::read(const mx::array& x) const {
  const mx::array gates = stream_gates(project(x, mixes_), how_);
  return {stream_read(x, gates, how_->streams), gates};
}

mx::array HyperConnection::write(
    const mx::array& y, const mx::array& gates, const mx::array& x) const {
  return stream_write(y, gates, x, how_->streams);
}

}  // namespace rapid
