package recommender

import (
	"context"
	"fmt"
	"math"
	"strings"

	"cordon/internal/sqltext"
	"cordon/recommender/cells"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
)

// readyAtMost is the share of sessions to come that a proposal takes as acceptable, as `cordon readiness` does unless asked otherwise.
const readyAtMost = 0.01

// mostLearning is how many hosts that stand for themselves a document names while they learn.
const mostLearning = 20

// looksBack asks for the hours of sessions where the window may be long enough for a forecast; reading them costs time.
func (r *run) looksBack(ctx context.Context) error {
	where := "1"
	if r.plan.settings.VRF != "" {
		where += " AND vrf = " + sqltext.Text(r.plan.settings.VRF)
	}
	if !r.plan.settings.Since.IsZero() {
		where += fmt.Sprintf(" AND hour >= toDateTime(%d) - 3600", r.plan.settings.Since.Unix())
	}
	if !r.plan.settings.Until.IsZero() {
		where += fmt.Sprintf(" AND hour < toDateTime(%d)", r.plan.settings.Until.Unix()+1)
	}
	var hours, span uint64
	if err := r.conn.QueryRow(ctx, "SELECT uniqExact(hour), toUInt64(if(count() > 0, dateDiff('hour', min(hour), max(hour)) + 1, 0)) FROM sessions_hourly WHERE "+where).Scan(&hours, &span); err != nil {
		return fmt.Errorf("ClickHouse: hours with sessions: %w", err)
	}
	r.plan.hourly = r.plan.hourly || simulate.LongEnough(int(span), int(hours))
	return nil
}

// readiness assesses each VRF with a window that is long enough; nil where none is.
func (r *run) readiness(ctx context.Context, list []cells.Cell, parts []cells.Part) (map[string]*policy.Readiness, error) {
	if !r.plan.hourly || r.plan.settings.WithoutReadiness {
		return nil, nil
	}
	learned, err := r.learn(ctx, list, parts)
	if err != nil {
		return nil, err
	}
	if err := r.conn.Exec(ctx, "TRUNCATE TABLE "+r.table("verdicts")); err != nil {
		return nil, fmt.Errorf("ClickHouse: %w", err)
	}
	out := map[string]*policy.Readiness{}
	for i := range learned {
		if a := simulate.Assess(&learned[i], simulate.ReadinessOptions{AtMost: readyAtMost}); simulate.LongEnough(a.Hours, a.HoursWithData) {
			out[a.VRF] = documentReadiness(a)
		}
	}
	return out, nil
}

// documentReadiness gives what a proposal holds of it.
func documentReadiness(a *simulate.Readiness) *policy.Readiness {
	out := &policy.Readiness{Ready: a.Ready, Why: a.Why, Forecast: policy.ReadinessForecast{Horizon: a.Forecast.Horizon, Declined: a.Forecast.Declined},
		Backtest: []policy.ReadinessBacktest{}, Groups: []policy.ReadinessGroup{}}
	if f := a.Forecast.DeniedShareAtMost; f != nil {
		share := shareDigits(*f)
		out.Forecast.DeniedShareAtMost = &share
	}
	for _, b := range a.Backtest {
		out.Backtest = append(out.Backtest, policy.ReadinessBacktest{LearnedUntil: b.LearnedUntil, Horizon: b.Horizon, DeniedShare: shareDigits(b.DeniedShare), Sessions: b.Sessions})
	}
	hosts := 0
	for _, g := range a.Groups {
		if strings.HasPrefix(g.Group, "ip:") { // a host, or a prefix of hosts
			if hosts++; g.State != simulate.Learning || hosts > mostLearning {
				continue
			}
		}
		out.Groups = append(out.Groups, policy.ReadinessGroup{Group: g.Group, State: g.State, Reason: g.Reason})
	}
	return out
}

// shareDigits cuts a share to what it can mean.
func shareDigits(x float64) float64 { return math.Round(x*1e6) / 1e6 }
