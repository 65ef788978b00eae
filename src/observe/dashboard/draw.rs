//! Draws a [`Board`] into any terminal of ratatui, of any size.

use super::board::{Board, Curve, NetBoard};
use crate::base::memory::human;
use crate::base::words::{duration, short, thousands};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Axis, Block, Cell, Chart, Dataset, GraphType, LineGauge, Paragraph, Row, Table,
};

/// The capabilities of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// More than ASCII.
    pub unicode: bool,
    /// Colors.
    pub color: bool,
}

/// The least width for two columns, and the least height for a second chart below the first.
const WIDE: u16 = 72;
const TALL: u16 = 14;

/// The name of the curve of throughput.
const THROUGHPUT: &str = "samples/s";

/// Draws the whole dashboard.
pub fn draw(frame: &mut Frame<'_>, board: &Board, looks: Looks) {
    let area = frame.area();
    let net = board.nets.get(board.selected);
    let room = match area.height {
        0..12 => 0,
        12..24 => 1,
        _ => 3,
    };
    let messages = room.min(board.messages.len() as u16);
    let [title, bar, state, middle, said, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Min(0),
        Constraint::Length(messages),
        Constraint::Length(1),
    ])
    .areas(area);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Paragraph::new(heading(board)).style(bold), title);
    if let Some(net) = net {
        draw_progress(frame, bar, board, net, looks);
        frame.render_widget(Paragraph::new(facts(board, net, state.width)), state);
        draw_middle(frame, middle, net, looks);
    }
    let shown = board.messages.iter().rev().take(messages.into()).rev();
    let lines: Vec<Line<'_>> = shown.map(|message| Line::from(message.as_str())).collect();
    frame.render_widget(Paragraph::new(lines), said);
    frame.render_widget(Paragraph::new(help(board, area.width)), keys);
    if !looks.unicode {
        to_ascii(frame.buffer_mut());
    }
}

fn heading(board: &Board) -> String {
    match board.nets.get(board.selected).filter(|_| board.nets.len() > 1) {
        Some(net) => format!(
            "{} ({} of {})  {}",
            net.name,
            board.selected + 1,
            board.nets.len(),
            board.title
        ),
        None => board.title.clone(),
    }
}

fn draw_progress(frame: &mut Frame<'_>, area: Rect, board: &Board, net: &NetBoard, looks: Looks) {
    let Some(progress) = &net.progress else {
        frame.render_widget(Paragraph::new("preparing the device"), area);
        return;
    };
    let state = match () {
        () if board.is_stopping => "stopping",
        () if board.is_paused => "paused",
        () if net.has_ended => "trained",
        () => "",
    };
    let left = match state {
        "" => format!("{} left", duration(progress.seconds_left)),
        state => state.into(),
    };
    let label = format!("epoch {}/{}  {left} ", progress.epoch, progress.epochs);
    let done = progress.step as f64 / progress.steps.max(1) as f64;
    let gauge = LineGauge::default()
        .ratio(done.clamp(0.0, 1.0))
        .label(label)
        .filled_symbol(if looks.unicode { "━" } else { "=" })
        .unfilled_symbol(if looks.unicode { "─" } else { "-" })
        .filled_style(colored(looks, Color::Cyan));
    frame.render_widget(gauge, area);
}

/// The numbers that aren't curves, in two lines of this width.
fn facts(board: &Board, net: &NetBoard, width: u16) -> Vec<Line<'static>> {
    let mut facts = Vec::new();
    if let Some(progress) = &net.progress {
        facts.push(format!("step {}", thousands(progress.step as f64)));
        facts.push(format!("{} samples/s", thousands(progress.samples_per_second)));
    }
    if let Some(lr) = net.lr.last() {
        let by_hand = net.rate_factor.map_or(String::new(), |f| format!(" ({f} x by hand)"));
        facts.push(format!("rate {}{by_hand}", short(lr)));
    }
    if let Some([now, most]) = board.memory {
        facts.push(format!("memory {}, at most {}", human(now as f64), human(most as f64)));
    }
    facts.extend(net.start.as_ref().map(|start| start.device.clone()));
    let mut lines = vec![String::new()];
    for fact in facts {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            *line = fact;
        } else if line.chars().count() + 2 + fact.chars().count() <= width.into() {
            *line += "  ";
            *line += &fact;
        } else {
            lines.push(fact);
        }
    }
    lines.into_iter().map(Line::from).collect()
}

fn draw_middle(frame: &mut Frame<'_>, area: Rect, net: &NetBoard, looks: Looks) {
    let layers = (net.layers.len() as u16).saturating_add(4);
    let (curves, side) = if area.width >= WIDE {
        let [curves, side] =
            Layout::horizontal([Constraint::Min(0), Constraint::Length(36)]).areas(area);
        (curves, side)
    } else {
        let for_layers = if area.height >= TALL { layers.min(area.height / 3) } else { 0 };
        let [curves, side] =
            Layout::vertical([Constraint::Min(0), Constraint::Length(for_layers)]).areas(area);
        (curves, side)
    };
    let has_metric = net.metric_name.is_some() && curves.height >= 10;
    let parts = if has_metric {
        vec![Constraint::Fill(3), Constraint::Fill(2)]
    } else {
        vec![Constraint::Fill(1)]
    };
    let charts = Layout::vertical(parts).split(curves);
    let losses = [("train", &net.train_loss), ("valid", &net.valid_loss)];
    draw_curves(frame, charts[0], "loss", &losses, looks);
    if let (Some(name), Some(area)) = (net.metric_name, charts.get(1)) {
        draw_curves(frame, *area, name, &[("", &net.metric)], looks);
    }
    if area.width < WIDE {
        draw_layers(frame, side, net, looks);
        return;
    }
    let rest = side.height.saturating_sub(layers.min(side.height / 2));
    let [table, lr, speed] = Layout::vertical([
        Constraint::Min(0),
        Constraint::Length(rest / 2),
        Constraint::Length(rest - rest / 2),
    ])
    .areas(side);
    draw_layers(frame, table, net, looks);
    draw_curves(frame, lr, "learning rate", &[("", &net.lr)], looks);
    draw_curves(frame, speed, THROUGHPUT, &[("", &net.throughput)], looks);
}

/// Curves over the steps so far, distinguished by marker and color.
fn draw_curves(
    frame: &mut Frame<'_>,
    area: Rect,
    name: &str,
    curves: &[(&str, &Curve)],
    looks: Looks,
) {
    if area.height < 3 || area.width < 12 {
        return;
    }
    let markers = match looks.unicode {
        true => [Marker::Braille, Marker::Dot],
        false => [Marker::Custom('.'), Marker::Custom('+')],
    };
    let colors = [Color::Cyan, Color::Yellow];
    let show = if name == THROUGHPUT { thousands } else { short };
    let shown = || curves.iter().enumerate().filter(|(_, (_, curve))| !curve.points().is_empty());
    let mut title = vec![Span::raw(format!("{name} "))];
    for (i, (which, curve)) in shown() {
        let value = curve.last().map(show).unwrap_or_default();
        let mark = match (curves.len() > 1, looks.unicode, i) {
            (false, ..) => "",
            (true, true, 0) => "⠒ ",
            (true, true, _) => "• ",
            (true, false, 0) => ". ",
            (true, false, _) => "+ ",
        };
        let which = if which.is_empty() { String::new() } else { format!("{which} ") };
        title.push(Span::styled(format!("{mark}{which}{value} "), colored(looks, colors[i % 2])));
    }
    let points = || shown().flat_map(|(_, (_, curve))| curve.points().iter().map(|p| p.1));
    let low = points().fold(f64::INFINITY, f64::min);
    let high = points().fold(f64::NEG_INFINITY, f64::max);
    let block = Block::bordered().title(Line::from(title));
    if low > high {
        frame.render_widget(Paragraph::new("no epoch has ended yet").block(block), area);
        return;
    }
    let margin = if high > low { (high - low) * 0.05 } else { high.abs().max(1e-6) * 0.1 };
    // The axis of a nonnegative value doesn't go below 0.
    let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let (low, high) = ((low - margin).max(floor), high + margin);
    let steps = shown().filter_map(|(_, (_, curve))| curve.points().last()).map(|point| point.0);
    let last = steps.fold(1.0, f64::max);
    let datasets = shown().map(|(i, (_, curve))| {
        let line = if curve.points().len() > 1 { GraphType::Line } else { GraphType::Scatter };
        Dataset::default()
            .marker(markers[i % 2])
            .graph_type(if i == 0 { line } else { GraphType::Scatter })
            .style(colored(looks, colors[i % 2]))
            .data(curve.points())
    });
    let x = Axis::default().bounds([0.0, last]);
    let y = Axis::default().bounds([low, high]).labels([show(low), show(high)]);
    let chart = Chart::new(datasets.collect()).block(block).x_axis(x).y_axis(y);
    frame.render_widget(chart.legend_position(None), area);
}

/// The gradient and the update of each layer at one step.
fn draw_layers(frame: &mut Frame<'_>, area: Rect, net: &NetBoard, looks: Looks) {
    if area.height < 3 || area.width < 20 {
        return;
    }
    let title = net.sampled.map_or("layers".into(), |(step, _)| format!("layers at step {step}"));
    let mut block = Block::bordered().title(title);
    if let Some((_, rows)) = net.sampled.filter(|(_, rows)| *rows > 0) {
        block = block.title_bottom(format!("gradient: mean of {rows} rows"));
    }
    let rows = net.layers.iter().map(|layer| {
        let gradient = layer.gradient_norm.map_or("-".into(), |norm| format!("{norm:.2e}"));
        // About 1e-3 per step is usual; far more is unstable, far less learns nothing.
        let usual = (1e-5..=1e-1).contains(&layer.update_ratio);
        let style = if usual { Style::new() } else { colored(looks, Color::Yellow) };
        let ratio = Cell::from(format!("{:.2e}", layer.update_ratio)).style(style);
        Row::new([Cell::from(layer.name.clone()), Cell::from(gradient), ratio])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(10), Constraint::Length(10)];
    let header = Row::new(["", "‖∂L/∂W‖", "‖ΔW‖/‖W‖"]);
    frame.render_widget(Table::new(rows, widths).header(header).block(block), area);
}

fn help(board: &Board, width: u16) -> String {
    let pause = if board.is_paused { "p resume" } else { "p pause" };
    let next = if board.nets.len() > 1 { "  Tab next net" } else { "" };
    let long =
        format!("{pause}  s save a checkpoint  q stop  - halve, + double the learning rate{next}");
    if long.chars().count() <= width.into() {
        return long;
    }
    format!("{pause}  s save  q stop  - + rate{next}")
}

fn colored(looks: Looks, color: Color) -> Style {
    if looks.color { Style::new().fg(color) } else { Style::new() }
}

/// Replaces characters that aren't ASCII by similar ones.
fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let Some(c) = cell.symbol().chars().next().filter(|c| !c.is_ascii()) else { continue };
        cell.set_char(match c {
            '│' | '‖' => '|',
            '─' | '━' => '-',
            '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => '+',
            'Δ' | '∂' => 'd',
            '…' => '.',
            _ => '?',
        });
    }
}
