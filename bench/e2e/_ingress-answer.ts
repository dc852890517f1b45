/** 1 KiB: what every server of the ingress benchmark answers. */
export const ANSWER_BODY = JSON.stringify({ id: 'pay_0001', status: 'accepted', note: 'x'.repeat(976) })
