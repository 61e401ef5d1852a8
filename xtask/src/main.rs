mod map;
fn main() -> anyhow::Result<()> {
    map::write(std::path::Path::new("examples/route-planner/map/tamarack-bay.geojson"))
}
